package object

import (
	"cmp"
	"slices"
	"strings"
)

// firstKinds are written in this order before everything else, and deleted after it. The list is
// Flux's (fluxcd/pkg ssa: ReconcileOrder).
var firstKinds = rank("CustomResourceDefinition", "Namespace", "ClusterRole", "ClusterClass", "RuntimeClass",
	"PriorityClass", "StorageClass", "VolumeSnapshotClass", "IngressClass", "GatewayClass", "ClusterRoleBinding",
	"ResourceQuota", "ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Secret", "Service", "LimitRange",
	"Deployment", "StatefulSet", "CronJob", "PodDisruptionBudget")

// lastKinds come after everything else: they can stop other writes.
var lastKinds = rank("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")

func rank(kinds ...string) map[string]int {
	ranks := make(map[string]int, len(kinds))
	for i, kind := range kinds {
		ranks[kind] = i
	}
	return ranks
}

// Stage is a part of a set that has to be in place before the next part can even be tried.
type Stage int

// The stages, in the order in which they are applied (flux-contract 4).
const (
	Definitions Stage = iota // CRDs, Namespaces, ClusterRoles
	Classes                  // kinds that end in Class
	Custom                   // kinds that the operator's settings put here
	Rest
)

// StageOf returns the stage of a kind; custom names further "group/Kind" pairs for the Custom stage.
func StageOf(ref Ref, custom map[string]bool) Stage {
	switch {
	case ref.Kind == "CustomResourceDefinition", ref.Kind == "Namespace" && ref.Group == "", ref.Kind == "ClusterRole":
		return Definitions
	case strings.HasSuffix(ref.Kind, "Class"):
		return Classes
	case custom[ref.Group+"/"+ref.Kind]:
		return Custom
	default:
		return Rest
	}
}

// Rank gives the place of a kind in the order of writing: equal ranks may be written concurrently.
func Rank(ref Ref) int {
	if position, found := firstKinds[ref.Kind]; found {
		return position
	}
	if position, found := lastKinds[ref.Kind]; found {
		return len(firstKinds) + 1 + position
	}
	return len(firstKinds)
}

// CompareApply orders references for writing; reversed, it is the order of deleting.
func CompareApply(a, b Ref) int {
	return cmp.Or(cmp.Compare(Rank(a), Rank(b)), a.Compare(b))
}

// Sort orders objects for writing.
func Sort(objects []Object) {
	slices.SortStableFunc(objects, func(a, b Object) int { return CompareApply(a.Ref, b.Ref) })
}
