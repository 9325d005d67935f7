package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"holdfast.dev/holdfast/internal/model/object"
)

// Resource is one source or unit at one moment. Object is what the server sent, unchanged; Spec and
// Status hold what all kinds have in common, and are empty where the object could not be read: one
// bad object must not hide the others.
type Resource struct {
	Kind   Kind
	Object *unstructured.Unstructured
	Spec   Spec
	Status Status
}

// Spec is what the specs of sources and units have in common; a field that a kind lacks stays empty.
type Spec struct {
	Suspend   bool       `json:"suspend,omitempty"`
	Type      string     `json:"type,omitempty"` // HelmRepository: default or oci
	URL       string     `json:"url,omitempty"`
	Endpoint  string     `json:"endpoint,omitempty"`
	Path      string     `json:"path,omitempty"`
	SourceRef *Reference `json:"sourceRef,omitempty"`
	ChartRef  *Reference `json:"chartRef,omitempty"`
	Chart     any        `json:"chart,omitempty"` // a name in a HelmChart, a template in a HelmRelease
}

// Reference names another resource; an empty namespace means the one of the referrer.
type Reference struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Namespace  string `json:"namespace,omitempty"`
}

// Status is what the statuses of sources and units have in common.
type Status struct {
	meta.ReconcileRequestStatus `json:",inline"`

	ObservedGeneration    int64                          `json:"observedGeneration,omitempty"`
	Conditions            []metav1.Condition             `json:"conditions,omitempty"`
	Artifact              *meta.Artifact                 `json:"artifact,omitempty"`
	LastAppliedRevision   string                         `json:"lastAppliedRevision,omitempty"`
	LastAttemptedRevision string                         `json:"lastAttemptedRevision,omitempty"`
	HelmChart             string                         `json:"helmChart,omitempty"` // HelmRelease: namespace/name
	Inventory             *kustomizev1.ResourceInventory `json:"inventory,omitempty"`
}

// NewResource reads an object of the kind.
func NewResource(kind Kind, u *unstructured.Unstructured) Resource {
	resource := Resource{Kind: kind, Object: u}
	var common struct {
		Spec   Spec   `json:"spec"`
		Status Status `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &common); err != nil {
		resource.Status.Conditions = []metav1.Condition{{
			Type: meta.ReadyCondition, Status: metav1.ConditionUnknown,
			Reason: "Unreadable", Message: fmt.Sprintf("reading the object: %v", err),
		}}
		return resource
	}
	resource.Spec, resource.Status = common.Spec, common.Status
	return resource
}

// Ref returns the resource's reference.
func (r Resource) Ref() object.Ref { return object.RefOf(r.Object) }

// String names the resource as commands take it: "kustomization/apps".
func (r Resource) String() string { return r.Kind.Word() + "/" + r.Object.GetName() }

// Static tells whether nothing ever reconciles the resource, so that it has no status: a Helm
// repository in a registry is only an address, external artifacts are written by others, and alerts
// are looked at when there is something to tell.
func (r Resource) Static() bool {
	return r.Kind.Role == Notice || r.Kind.Kind == "HelmRepository" && r.Spec.Type == "oci" || r.Kind.Kind == "ExternalArtifact"
}

// Condition returns the condition of that type, compared without regard to case. Where there is
// none, its status is Unknown.
func (r Resource) Condition(conditionType string) metav1.Condition {
	for _, condition := range r.Status.Conditions {
		if strings.EqualFold(condition.Type, conditionType) {
			return condition
		}
	}
	return metav1.Condition{Type: conditionType, Status: metav1.ConditionUnknown}
}

// Ready returns the Ready condition.
func (r Resource) Ready() metav1.Condition {
	ready := r.Condition(meta.ReadyCondition)
	if ready.Message == "" && !r.Static() && apimeta.FindStatusCondition(r.Status.Conditions, meta.ReadyCondition) == nil {
		ready.Message = "waiting for its first reconciliation"
	}
	return ready
}

// Revision returns what the resource stands for now: a source's stored artifact, a unit's last
// applied revision, or what it tried last when nothing was ever applied.
func (r Resource) Revision() string {
	if r.Status.Artifact != nil {
		return r.Status.Artifact.Revision
	}
	return cmp.Or(r.Status.LastAppliedRevision, r.Status.LastAttemptedRevision)
}

// Origin says in a few words where the resource's content comes from.
func (r Resource) Origin() string {
	if source, ok := r.Source(); ok && r.Kind.Role == Unit {
		return strings.ToLower(source.Kind) + "/" + source.Name
	}
	return cmp.Or(r.Spec.URL, r.Spec.Endpoint)
}

// Source returns the reference of the source that the resource is fed from, with its namespace, and
// false where it has none.
func (r Resource) Source() (Reference, bool) {
	found := cmp.Or(r.Spec.SourceRef, r.Spec.ChartRef, r.chartSource())
	if found == nil {
		return Reference{}, false
	}
	source := *found
	source.Namespace = cmp.Or(source.Namespace, r.Object.GetNamespace())
	return source, true
}

// chartSource reads spec.chart.spec.sourceRef, the HelmRelease's longer way to name a source.
func (r Resource) chartSource() *Reference {
	fields, found, err := unstructured.NestedMap(r.Object.Object, "spec", "chart", "spec", "sourceRef")
	if !found || err != nil {
		return nil
	}
	reference := &Reference{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, reference); err != nil {
		return nil
	}
	return reference
}

// Owned returns the references of the objects that a unit owns, in the order of kinds and names.
func (r Resource) Owned() ([]object.Ref, error) {
	if r.Status.Inventory == nil {
		return nil, nil
	}
	refs := make([]object.Ref, 0, len(r.Status.Inventory.Entries))
	for _, entry := range r.Status.Inventory.Entries {
		ref, err := object.ParseID(entry.ID, entry.Version)
		if err != nil {
			return nil, fmt.Errorf("reading the inventory of %s: %w", r, err)
		}
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, object.CompareApply)
	return refs, nil
}
