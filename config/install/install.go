package install

import (
	"bufio"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const (
	// DefaultNamespace is the one that the files name.
	DefaultNamespace = "flux-system"
	// Deployment is the name of the controller's Deployment, and of most that belongs to it.
	Deployment = "holdfast-controller"
	// Delivery is the name of the binding that lets units without an account do everything.
	Delivery = "holdfast-delivery"
)

//go:embed *.yaml
var files embed.FS

// order is that of the files in kustomization.yaml.
var order = []string{
	"namespace.yaml", "account.yaml", "rights.yaml", "delivery.yaml", "auditor.yaml", "service.yaml",
	"network-policy.yaml", "disruption-budget.yaml", "deployment.yaml",
}

// Options say what differs between installations. The zero value of all but Image is right for most.
type Options struct {
	// Image is the container image of the controller. Required.
	Image string
	// Namespace is the one that the controller lives in; empty means DefaultNamespace.
	Namespace string
	// Replicas is how many wait for their turn to work, the one that works included; 0 means 1.
	Replicas int
	// DefaultServiceAccount, when set, is the account that units without one act as. References to
	// other namespaces are refused then, and the controller gets no right to deliver in its own name.
	DefaultServiceAccount string
}

// Objects returns everything but the definitions of the kinds, which the package crd has. The caller
// owns the result.
func Objects(o Options) ([]*unstructured.Unstructured, error) {
	if o.Image == "" {
		return nil, errors.New("making the manifests: no image was given")
	}
	var objects []*unstructured.Unstructured
	for _, name := range order {
		content, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		decoded, err := decode(content)
		if err != nil {
			return nil, fmt.Errorf("decoding %s: %w", name, err)
		}
		objects = append(objects, decoded...)
	}
	if o.DefaultServiceAccount != "" {
		objects = slices.DeleteFunc(objects, func(u *unstructured.Unstructured) bool { return u.GetName() == Delivery })
	}
	for _, u := range objects {
		if err := o.adapt(u); err != nil {
			return nil, fmt.Errorf("adapting %s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
	return objects, nil
}

func decode(content []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := yaml.YAMLToJSONStrict(document)
		if err != nil {
			return nil, err
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(content); err != nil {
			return nil, err
		}
		objects = append(objects, u)
	}
}

// adapt writes what was asked for into an object.
func (o Options) adapt(u *unstructured.Unstructured) error {
	if o.Namespace != "" {
		o.move(u)
	}
	if u.GetKind() != "Deployment" {
		return nil
	}
	if o.Replicas > 0 {
		if err := unstructured.SetNestedField(u.Object, int64(o.Replicas), "spec", "replicas"); err != nil {
			return err
		}
	}
	path := []string{"spec", "template", "spec", "containers"}
	containers, _, err := unstructured.NestedSlice(u.Object, path...)
	if err != nil {
		return err
	}
	if len(containers) != 1 {
		return fmt.Errorf("it has %d containers, want 1", len(containers))
	}
	container, _ := containers[0].(map[string]any)
	container["image"] = o.Image
	if o.DefaultServiceAccount != "" {
		args, _ := container["args"].([]any)
		container["args"] = append(args, "--no-cross-namespace-refs", "--default-service-account="+o.DefaultServiceAccount)
	}
	return unstructured.SetNestedSlice(u.Object, containers, path...)
}

// move takes an object, and the subjects that it names, to the wanted namespace.
func (o Options) move(u *unstructured.Unstructured) {
	switch {
	case u.GetKind() == "Namespace":
		u.SetName(o.Namespace)
	case u.GetNamespace() != "":
		u.SetNamespace(o.Namespace)
	}
	subjects, _ := u.Object["subjects"].([]any)
	for _, item := range subjects {
		if subject, ok := item.(map[string]any); ok {
			subject["namespace"] = o.Namespace
		}
	}
}
