package trouble

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The kinds of workloads, and where they and their Pods say which generation is the newest.
const (
	deployment  = "Deployment"
	statefulSet = "StatefulSet"
	daemonSet   = "DaemonSet"
	job         = "Job"
	replicaSet  = "ReplicaSet"

	revisionAnnotation   = "deployment.kubernetes.io/revision" // of a Deployment and its ReplicaSets
	templateAnnotation   = "deprecated.daemonset.template.generation"
	templateLabel        = "pod-template-generation"
	templateHashLabel    = "pod-template-hash"
	controllerHashLabel  = "controller-revision-hash"
	replicaFailure       = "ReplicaFailure"
	defaultUnavailable   = "25%"
	recreate             = "Recreate"
	failedCreateSelector = "reason=FailedCreate,involvedObject.kind!=ReplicaSet"
)

// Runs tells whether objects of a kind are workloads.
func Runs(gk schema.GroupKind) bool {
	switch gk {
	case schema.GroupKind{Group: "apps", Kind: deployment}, schema.GroupKind{Group: "apps", Kind: statefulSet},
		schema.GroupKind{Group: "apps", Kind: daemonSet}, schema.GroupKind{Group: "batch", Kind: job}:
		return true
	}
	return false
}

// ByEvents tells whether refused Pods of a kind are told by Events alone.
func ByEvents(kind string) bool { return kind != deployment }

// Of reads a workload of a kind that Runs.
func Of(u *unstructured.Unstructured) *Workload {
	w := &Workload{
		Key: Key{Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName()},
		UID: u.GetUID(), Generation: u.GetGeneration(),
	}
	seen, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	w.Observed = seen == w.Generation
	switch w.Kind {
	case deployment:
		w.Revision = annotation(u, revisionAnnotation)
		w.Refusal = failure(u)
		w.Draining = w.Refusal != "" && drains(u)
	case statefulSet:
		w.Revision, _, _ = unstructured.NestedString(u.Object, "status", "updateRevision")
	case daemonSet:
		w.Revision = annotation(u, templateAnnotation)
	case job:
		w.Observed = true // its Pods never change
	}
	return w
}

// failure is the message of a Deployment's ReplicaFailure condition.
func failure(u *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedFieldNoCopy(u.Object, "status", "conditions")
	list, _ := conditions.([]any)
	for _, one := range list {
		condition, _ := one.(map[string]any)
		if condition["type"] == replicaFailure && condition["status"] == "True" {
			message, _ := condition["message"].(string)
			return message
		}
	}
	return ""
}

// drains tells whether a Deployment still has Pods of before, some of which its update may end.
func drains(u *unstructured.Unstructured) bool {
	wanted, found, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
	if !found {
		wanted = 1
	}
	all, _, _ := unstructured.NestedInt64(u.Object, "status", "replicas")
	updated, _, _ := unstructured.NestedInt64(u.Object, "status", "updatedReplicas")
	terminating, _, _ := unstructured.NestedInt64(u.Object, "status", "terminatingReplicas")
	if terminating > 0 {
		return true
	}
	if all <= updated {
		return false
	}
	if kind, _, _ := unstructured.NestedString(u.Object, "spec", "strategy", "type"); kind == recreate {
		return true
	}
	limit := intstr.FromString(defaultUnavailable)
	switch value, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "strategy", "rollingUpdate", "maxUnavailable"); typed := value.(type) {
	case int64:
		limit = intstr.FromInt32(int32(min(typed, 1<<30))) //nolint:gosec // it fits now
	case string:
		limit = intstr.FromString(typed)
	}
	unavailable, err := intstr.GetScaledValueFromIntOrPercent(&limit, int(wanted), false)
	return err == nil && unavailable > 0
}

func annotation(u *unstructured.Unstructured, key string) string {
	return field(u.Object, "annotations", key)
}

// field reads one of an object's labels or annotations without copying them all.
func field(object map[string]any, where, key string) string {
	metadata, _ := object["metadata"].(map[string]any)
	values, _ := metadata[where].(map[string]any)
	value, _ := values[key].(string)
	return value
}
