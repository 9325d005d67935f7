package chart

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
)

// The labels that say which HelmRelease an object belongs to.
const (
	LabelName      = "helm.toolkit.fluxcd.io/name"
	LabelNamespace = "helm.toolkit.fluxcd.io/namespace"
)

// Input is everything that a release is rendered from. Equal inputs give equal outputs, but for charts that
// ask for random values or look into the cluster.
type Input struct {
	// Owner is the HelmRelease; it becomes labels on all objects.
	Owner object.Owner
	Chart *Chart `json:"-"`
	// ChartVersion takes the place of the version that the chart has; empty leaves it.
	ChartVersion string
	// Name and Namespace are the release's; ReleaseName makes the name.
	Name, Namespace string
	// Revision is the number that the release will have in Helm's storage, and Upgrade says that there is one
	// before it. Templates see both.
	Revision int
	Upgrade  bool
	Values   map[string]any
	// Secret are the values that came from Secrets: they are kept out of errors and notes.
	Secret []redact.Text `json:"-"`

	Capabilities Capabilities
	// SkipSchema leaves values unchecked that a chart has a schema for (disableSchemaValidation).
	SkipSchema bool
	// CRDs says what happens with the definitions in crds/; empty is Create.
	CRDs CRDPolicy
	// PostRenderers change what the templates made, in order. Strategy says what of hooks; empty is Combined.
	PostRenderers []PostRenderer
	Strategy      Strategy
	// Labels and Annotations are put on all objects (commonMetadata).
	Labels, Annotations map[string]string

	// Lookup answers the templates' function lookup, under the identity of the release. With nil nothing
	// is ever found.
	Lookup Lookup `json:"-"`
	// Namespaced tells whether a kind is namespaced. Objects of such kinds without a namespace get the
	// release's; where it does not know, or is nil, the kinds of Kubernetes and of the chart's own CRDs are known.
	Namespaced func(schema.GroupVersionKind) (namespaced, known bool) `json:"-"`
}

// Lookup returns an object, or, where name is empty, a list of a kind. What is not there is an empty map.
type Lookup func(ctx context.Context, apiVersion, kind, namespace, name string) (map[string]any, error)

// Capabilities are what templates may ask of the cluster. Where a field is empty, Helm's own defaults are used.
type Capabilities struct {
	KubeVersion string
	// APIVersions holds "group/version" and "group/version/Kind".
	APIVersions []string
}

// CRDPolicy is what happens with the definitions in a chart's crds/.
type CRDPolicy string

// The policies, with Flux's names.
const (
	Skip          CRDPolicy = "Skip"
	Create        CRDPolicy = "Create"
	CreateReplace CRDPolicy = "CreateReplace"
)

// Strategy is what of a release post-renderers and common metadata change.
type Strategy string

// The strategies, with Flux's names.
const (
	NoHooks  Strategy = "nohooks"  // hooks are left as they are
	Combined Strategy = "combined" // hooks and objects are one stream
	Separate Strategy = "separate" // hooks and objects are two streams
)

// PostRenderer changes objects with kustomize.
type PostRenderer struct {
	Patches []Patch
	Images  []Image
}

// Patch is a strategic merge or JSON 6902 patch with an optional target.
type Patch struct {
	Patch  string
	Target *Selector
}

// Selector picks objects by regular expressions over their names and by label selectors.
type Selector struct {
	Group, Version, Kind, Namespace, Name string
	LabelSelector, AnnotationSelector     string
}

// Image replaces parts of an image reference.
type Image struct {
	Name, NewName, NewTag, Digest string
}

// digest identifies an input, but for its owner.
func (i Input) digest() (string, error) {
	key := i
	key.Owner = object.Owner{}
	key.Capabilities.APIVersions = slices.Sorted(slices.Values(i.Capabilities.APIVersions))
	raw, err := json.Marshal(key) // maps are written in the order of their keys
	if err != nil {
		return "", fmt.Errorf("encoding values: %w", err)
	}
	sum := sha256.Sum256(append(raw, i.Chart.digest...))
	return string(sum[:]), nil
}

// longestName is how long Helm lets the name of a release be.
const longestName = 53

// ReleaseName returns the name of a release as Flux makes it: the one that was asked for, or the HelmRelease's
// with the target namespace before it. A name that is too long for Helm is cut, and ends in its hash.
func ReleaseName(wanted, targetNamespace, name string) string {
	switch {
	case wanted != "":
		name = wanted
	case targetNamespace != "":
		name = targetNamespace + "-" + name
	}
	if len(name) <= longestName {
		return name
	}
	const digits = 12
	sum := sha256.Sum256([]byte(name))
	return name[:longestName-digits-1] + "-" + hex.EncodeToString(sum[:])[:digits]
}
