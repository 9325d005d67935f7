package fleet

import (
	"slices"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	v1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Role is the part that a kind plays: it says where desired state comes from, it delivers it, or it
// takes calls that ask for either, or tells people of them.
type Role string

// The roles.
const (
	Source   Role = "source"
	Unit     Role = "unit"
	Receiver Role = "receiver"
	Notice   Role = "notice"
)

// Kind is one kind of source, unit, receiver or notice.
type Kind struct {
	schema.GroupKind
	Role Role
	// Plural is the resource name, and Short the other names that kubectl knows.
	Plural string
	Short  []string
}

// Kinds returns all kinds of sources, units and receivers that the command line knows, in the order in
// which it shows them: sources first, as the state flows. Whether a cluster serves a kind is another question (Cluster.List).
func Kinds() []Kind {
	source := func(kind, plural string, short ...string) Kind {
		return Kind{schema.GroupKind{Group: sourcev1.GroupVersion.Group, Kind: kind}, Source, plural, short}
	}
	return []Kind{
		source(sourcev1.GitRepositoryKind, "gitrepositories", "gitrepo"),
		source(sourcev1.OCIRepositoryKind, "ocirepositories", "ocirepo"),
		source(sourcev1.BucketKind, "buckets"),
		source(sourcev1.HelmRepositoryKind, "helmrepositories", "helmrepo"),
		source(sourcev1.HelmChartKind, "helmcharts", "hc"),
		source(sourcev1.ExternalArtifactKind, "externalartifacts", "ea"),
		{schema.GroupKind{Group: kustomizev1.GroupVersion.Group, Kind: kustomizev1.KustomizationKind}, Unit, "kustomizations", []string{"ks"}},
		{schema.GroupKind{Group: helmv2.GroupVersion.Group, Kind: helmv2.HelmReleaseKind}, Unit, "helmreleases", []string{"hr"}},
		{schema.GroupKind{Group: notificationv1.GroupVersion.Group, Kind: notificationv1.ReceiverKind}, Receiver, "receivers", nil},
	}
}

// known returns all kinds that can be asked for by name: those of Kinds, and those that tell people.
func known() []Kind {
	group := notificationv1.GroupVersion.Group
	return append(Kinds(),
		Kind{schema.GroupKind{Group: group, Kind: v1beta3.AlertKind}, Notice, "alerts", nil},
		Kind{schema.GroupKind{Group: group, Kind: v1beta3.ProviderKind}, Notice, "providers", nil},
	)
}

// Word is the kind's name in commands and messages: "kustomization".
func (k Kind) Word() string { return strings.ToLower(k.Kind) }

// named tells whether word is one of the kind's names, in any case.
func (k Kind) named(word string) bool {
	word = strings.ToLower(word)
	return word == k.Word() || word == k.Plural || slices.Contains(k.Short, word) ||
		word == k.Plural+"."+k.Group || word == k.Word()+"."+k.Group
}

// KindsNamed returns the kinds that a word stands for: a role ("units"), "all" for Kinds,
// or one kind in any of its names ("kustomization", "ks"). It returns none for any other word.
func KindsNamed(word string) []Kind {
	var kinds []Kind
	for _, kind := range known() {
		role := string(kind.Role)
		if word == "all" && kind.Role != Notice || word == role || word == role+"s" || kind.named(word) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// KindOf returns the kind of a group and kind, and false where it is none of those that are known.
func KindOf(gk schema.GroupKind) (Kind, bool) {
	kinds := known()
	position := slices.IndexFunc(kinds, func(kind Kind) bool { return kind.GroupKind == gk })
	if position < 0 {
		return Kind{}, false
	}
	return kinds[position], true
}
