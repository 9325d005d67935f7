package object

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Digest identifies what is wanted of an object: SHA-256 of its canonical JSON.
type Digest [sha256.Size]byte

// Object is what a unit wants of one Kubernetes object. It is immutable and safe to share.
type Object struct {
	Ref
	// JSON is the object as it is sent to the API server: compact, with sorted keys.
	JSON []byte
	// Digest is taken over JSON.
	Digest Digest
	// Rules are the wishes that the object's own labels and annotations express.
	Rules Rules
	// Dropped are the paths of fields that were written and are not in JSON, since the normal form of a
	// built-in kind has no room for them: most of them are mistakes. They are no part of the digest.
	Dropped []string
	// Source names the file that the object came from, relative to the root of its tree, for
	// messages. It may be empty.
	Source string
}

// New makes an Object of u, which it does not keep. The object must have a kind, an API version and
// a name.
func New(u *unstructured.Unstructured, source string) (Object, error) {
	ref := RefOf(u)
	if ref.Kind == "" || ref.Version == "" || ref.Name == "" {
		return Object{}, fmt.Errorf("object %s: apiVersion, kind and metadata.name must be set", ref)
	}
	raw, err := json.Marshal(u.Object)
	if err != nil {
		return Object{}, fmt.Errorf("encoding %s: %w", ref, err)
	}
	return Object{Ref: ref, JSON: raw, Digest: sha256.Sum256(raw), Rules: RulesOf(u), Source: source}, nil
}

// Decode returns a fresh copy that the caller may change.
func (o Object) Decode() (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(o.JSON); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", o.Ref, err)
	}
	return u, nil
}

// Keys that objects carry to steer their delivery (flux-contract 2.5). Values are compared without
// regard to case, except where noted.
const (
	ownerDomain      = "kustomize.toolkit.fluxcd.io/"
	helmDomain       = "helm.toolkit.fluxcd.io/"
	LabelOwnerName   = ownerDomain + "name"
	LabelOwnerNS     = ownerDomain + "namespace"
	KeyReconcile     = ownerDomain + "reconcile"  // disabled: neither applied nor pruned
	KeySSA           = ownerDomain + "ssa"        // Override, Merge, IfNotPresent, Ignore
	KeyForce         = ownerDomain + "force"      // enabled: recreate on an immutable field
	KeyPrune         = ownerDomain + "prune"      // disabled: never deleted
	KeySubstitute    = ownerDomain + "substitute" // disabled (exact case): variables stay as they are
	KeyHelmDrift     = helmDomain + "driftDetection"
	KeyHelmPolicy    = "helm.sh/resource-policy" // keep: never deleted
	valueDisabled    = "disabled"
	valueEnabled     = "enabled"
	valueKeep        = "keep"
	modeMerge        = "merge"
	modeIfNotPresent = "ifnotpresent"
	modeIgnore       = "ignore"
)

// Rules are what an object's labels and annotations ask of its delivery.
type Rules struct {
	ReconcileDisabled bool // skip apply and prune
	Merge             bool // keep fields of other managers, no take-over
	IfNotPresent      bool // create only
	Ignore            bool // neither apply nor prune
	Force             bool // delete and create again when a field is immutable
	PruneDisabled     bool // never delete
	Expires           bool // a Job that the cluster removes when it is done: its absence is no drift
	Drifts            bool // what others change of it, once it was delivered, stays as they want it
}

// RulesOf reads the rules of a desired or a live object of a Kustomization. Annotations win over labels.
func RulesOf(u *unstructured.Unstructured) Rules {
	annotations, labels := u.GetAnnotations(), u.GetLabels()
	get := func(key string) string {
		if value, found := annotations[key]; found {
			return strings.ToLower(value)
		}
		return strings.ToLower(labels[key])
	}
	mode := get(KeySSA)
	_, expires, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "ttlSecondsAfterFinished")
	return Rules{
		ReconcileDisabled: get(KeyReconcile) == valueDisabled,
		Merge:             mode == modeMerge,
		IfNotPresent:      mode == modeIfNotPresent,
		Ignore:            mode == modeIgnore,
		Force:             get(KeyForce) == valueEnabled,
		PruneDisabled:     get(KeyPrune) == valueDisabled,
		Expires:           expires && u.GetKind() == "Job",
		Drifts:            get(KeyHelmDrift) == valueDisabled,
	}
}

// Skipped tells whether the object is left alone by apply and prune.
func (r Rules) Skipped() bool { return r.ReconcileDisabled || r.Ignore }

// Owner is the unit that an object belongs to, as its labels say.
type Owner struct{ Namespace, Name string }

// String writes the owner as "namespace/name".
func (o Owner) String() string { return o.Namespace + "/" + o.Name }

// OwnerOf reads the owner labels of a Kustomization; ok is false where either is missing.
func OwnerOf(labels map[string]string) (owner Owner, ok bool) { return Kustomizations.OwnerOf(labels) }
