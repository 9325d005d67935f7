package admission

import (
	"context"
	"errors"
	"fmt"
	"strings"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// nobody answers for an authorizer that is not there.
type nobody struct{}

// Authorize implements authorizer.Authorizer.
func (nobody) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	return authorizer.DecisionNoOpinion, "", ErrAuthorizer
}

func typed(object map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: object}
}

// record writes a request as the API server passes it to its plugins. The objects are copies: nobody may
// change what others look at.
func record(request ruling.Request) admission.Attributes {
	subject := typed(request.Subject())
	kind := subject.GroupVersionKind()
	resource := kind.GroupVersion().WithResource(request.Resource)
	if request.Resource == "" {
		resource, _ = apimeta.UnsafeGuessKindToResource(kind)
	}
	var object, old runtime.Object
	if request.Object != nil {
		object = typed(ruling.Copy(request.Object).(map[string]any))
	}
	if request.Old != nil {
		old = typed(ruling.Copy(request.Old).(map[string]any))
	}
	who := &user.DefaultInfo{}
	if request.User != nil {
		who.Name, who.Groups = request.User.Name, request.User.Groups
	}
	operation := admission.Operation(request.Operation)
	if operation == "" {
		operation = admission.Create
	}
	namespace := subject.GetNamespace()
	if kind.Group == "" && kind.Kind == "Namespace" {
		namespace = subject.GetName() // as the server has it
	}
	return admission.NewAttributesRecord(object, old, kind, namespace, subject.GetName(), resource, request.Subresource, operation, nil, request.DryRun, who)
}

func interfaces() admission.ObjectInterfaces {
	return admission.NewObjectInterfacesFromScheme(runtime.NewScheme())
}

func attributes(request ruling.Request) (*admission.VersionedAttributes, error) {
	if request.Subject() == nil {
		return nil, errors.New("the request has no object")
	}
	plain := record(request)
	versioned, err := admission.NewVersionedAttributes(plain, plain.GetKind(), interfaces())
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	return versioned, nil
}

// namespaces lists the one namespace that a request is about.
type namespaces struct {
	request ruling.Request
	// selects says that a policy selects by labels or looks at the namespace, so that they must be known.
	selects bool
}

// List implements the lister.
func (n namespaces) List(labels.Selector) ([]*core.Namespace, error) {
	return nil, errors.New("namespaces are not listed")
}

// Get implements the lister.
func (n namespaces) Get(name string) (*core.Namespace, error) {
	if ruling.Text(n.request.Subject(), "kind") == "Namespace" && ruling.Text(n.request.Subject(), "metadata", "name") == name {
		found := &core.Namespace{}
		found.Name, found.Labels = name, ruling.Texts(n.request.Subject(), "metadata", "labels")
		return found, nil
	}
	if n.request.NamespaceUnknown && n.selects {
		return nil, apierrors.NewInternalError(fmt.Errorf("the labels of namespace %s are not known, and the policy selects by them", name))
	}
	found := &core.Namespace{}
	found.Name, found.Labels = name, n.request.NamespaceLabels
	found.Annotations = ruling.Texts(n.request.Namespace, "metadata", "annotations")
	return found, nil
}

// looksAtNamespace tells whether an expression of a policy reads the namespace.
func looksAtNamespace(expressions ...string) bool {
	for _, one := range expressions {
		if strings.Contains(one, "namespaceObject") {
			return true
		}
	}
	return false
}

// gvk reads the kind of parameters.
func gvk(apiVersion, kind string) schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(apiVersion, kind)
}
