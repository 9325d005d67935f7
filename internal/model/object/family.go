package object

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// Family is a kind of units. A Kustomization and a HelmRelease may have the same name, so the objects of
// each kind carry owner labels of their own.
type Family int

// The families. The zero value is that of Kustomizations.
const (
	Kustomizations Family = iota
	HelmReleases
)

func (f Family) domain() string {
	if f == HelmReleases {
		return helmDomain
	}
	return ownerDomain
}

// NameLabel is the label that holds the owner's name.
func (f Family) NameLabel() string { return f.domain() + "name" }

// NamespaceLabel is the label that holds the owner's namespace.
func (f Family) NamespaceLabel() string { return f.domain() + "namespace" }

// OwnerOf reads the owner labels; ok is false where either is missing.
func (f Family) OwnerOf(labels map[string]string) (owner Owner, ok bool) {
	owner = Owner{Namespace: labels[f.NamespaceLabel()], Name: labels[f.NameLabel()]}
	return owner, owner.Namespace != "" && owner.Name != ""
}

// RulesOf reads the rules of a desired or a live object. Helm's own annotation counts for its objects alone:
// Flux prunes an object of a Kustomization that carries it.
func (f Family) RulesOf(u *unstructured.Unstructured) Rules {
	rules := RulesOf(u)
	if f == HelmReleases && u.GetAnnotations()[KeyHelmPolicy] == valueKeep {
		rules.PruneDisabled = true
	}
	return rules
}
