package examples_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// workload is an object that makes Pods, and how many of them can exist at once.
type workload struct {
	id        string
	namespace string
	pods      int64
	pod       corev1.PodSpec
}

// podPaths tells where each kind of workload keeps its Pod.
var podPaths = map[string][]string{
	"CronJob":     {"spec", "jobTemplate", "spec", "template", "spec"},
	"DaemonSet":   {"spec", "template", "spec"},
	"Deployment":  {"spec", "template", "spec"},
	"Job":         {"spec", "template", "spec"},
	"StatefulSet": {"spec", "template", "spec"},
}

func workloads(t *testing.T, env environment) []workload {
	t.Helper()
	var found []workload
	for _, object := range env.all() {
		where, isWorkload := podPaths[object.GetKind()]
		if !isWorkload {
			continue
		}
		w := workload{id: identity(object), namespace: object.GetNamespace(), pods: 1}
		spec, ok := field(object, where...).(map[string]any)
		if !ok {
			t.Fatalf("%s has no Pod", w.id)
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &w.pod); err != nil {
			t.Fatalf("%s: %v", w.id, err)
		}
		if replicas, ok := field(object, "spec", "replicas").(int64); ok {
			w.pods = replicas
		}
		if object.GetKind() == "Deployment" && field(object, "spec", "strategy", "type") != "Recreate" {
			w.pods++ // a quarter more, rounded up, during an update of up to four replicas
		}
		found = append(found, w)
	}
	return found
}

// TestWorkloadsAreSensible checks what a real cluster asks of every Pod.
func TestWorkloadsAreSensible(t *testing.T) {
	for _, name := range environments {
		t.Run(name, func(t *testing.T) {
			for _, w := range workloads(t, renderEnvironment(t, platform(t, nil), name)) {
				security := w.pod.SecurityContext
				if security == nil || security.RunAsNonRoot == nil || !*security.RunAsNonRoot || security.SeccompProfile == nil {
					t.Errorf("%s may run as root or without a seccomp profile", w.id)
				}
				for _, container := range w.pod.Containers {
					checkContainer(t, w, container)
				}
			}
		})
	}
}

func checkContainer(t *testing.T, w workload, c corev1.Container) {
	t.Helper()
	name, tag, _ := strings.Cut(c.Image[strings.LastIndex(c.Image, "/")+1:], ":")
	if name == "" || tag == "" || tag == "latest" {
		t.Errorf("%s: image %q has no fixed tag", w.id, c.Image)
	}
	if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
		t.Errorf("%s: container %s does not say what it needs", w.id, c.Name)
	}
	if c.SecurityContext == nil || c.SecurityContext.AllowPrivilegeEscalation == nil || *c.SecurityContext.AllowPrivilegeEscalation {
		t.Errorf("%s: container %s may escalate privileges", w.id, c.Name)
	}
	runsOn := w.pod.RestartPolicy == "" || w.pod.RestartPolicy == corev1.RestartPolicyAlways
	if runsOn && (c.ReadinessProbe == nil || c.LivenessProbe == nil) {
		t.Errorf("%s: container %s has no probes", w.id, c.Name)
	}
}

// TestWorkloadsFitTheirQuota adds up what each namespace can need at most, updates included.
func TestWorkloadsFitTheirQuota(t *testing.T) {
	for _, name := range environments {
		t.Run(name, func(t *testing.T) {
			env := renderEnvironment(t, platform(t, nil), name)
			needs := map[string]corev1.ResourceList{}
			for _, w := range workloads(t, env) {
				if needs[w.namespace] == nil {
					needs[w.namespace] = corev1.ResourceList{}
				}
				addPods(needs[w.namespace], w)
			}
			for _, object := range env.all() {
				if object.GetKind() == "ResourceQuota" {
					checkQuota(t, object, needs[object.GetNamespace()])
				}
			}
		})
	}
}

func addPods(need corev1.ResourceList, w workload) {
	add := func(what corev1.ResourceName, quantity *resource.Quantity) {
		sum := need[what]
		for range w.pods {
			sum.Add(*quantity)
		}
		need[what] = sum
	}
	add("pods", resource.NewQuantity(1, resource.DecimalSI))
	for _, container := range w.pod.Containers {
		add("requests.cpu", container.Resources.Requests.Cpu())
		add("requests.memory", container.Resources.Requests.Memory())
		add("limits.memory", container.Resources.Limits.Memory())
	}
}

func checkQuota(t *testing.T, object *unstructured.Unstructured, need corev1.ResourceList) {
	t.Helper()
	hard, _ := field(object, "spec", "hard").(map[string]any)
	for _, what := range slices.Sorted(maps.Keys(need)) {
		text, limited := hard[string(what)].(string)
		if !limited {
			continue
		}
		limit, err := resource.ParseQuantity(text)
		if err != nil {
			t.Fatalf("%s: %s: %v", identity(object), what, err)
		}
		if sum := need[what]; sum.Cmp(limit) > 0 {
			t.Errorf("%s: workloads can need %s of %s, the quota is %s", identity(object), sum.String(), what, text)
		}
	}
}

// field follows a path of names and list positions; nil where it leads nowhere.
func field(object *unstructured.Unstructured, where ...string) any {
	var value any = object.Object
	for _, step := range where {
		switch inner := value.(type) {
		case map[string]any:
			value = inner[step]
		case []any:
			position, err := strconv.Atoi(step)
			if err != nil || position >= len(inner) {
				return nil
			}
			value = inner[position]
		default:
			return nil
		}
	}
	return value
}
