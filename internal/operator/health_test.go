package operator_test

import (
	"context"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func waits(u *kustomizev1.Kustomization) { u.Spec.Wait = true }

// never is a claim that no volume satisfies: it stays in progress until somebody helps.
const never = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: never\nspec:\n  accessModes: [ReadWriteOnce]\n" +
	"  storageClassName: nobody\n  resources: {requests: {storage: 1Gi}}\n"

// TestWaitForHealth: a unit that waits is ready when all of its objects are, and says so.
func TestWaitForHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.deliver("apps", map[string]string{"apps/a.yaml": deployment("web", "web", 1)}, waits)
	healthy := condition(u, meta.HealthyCondition)
	if healthy.Status != metav1.ConditionTrue || !strings.HasPrefix(healthy.Message, "Health check passed in ") {
		t.Errorf("healthy: %+v", healthy)
	}
	if live := read(w, w.object("apps/v1", "Deployment", "web")); field(live, "status", "readyReplicas") != "1" {
		t.Errorf("ready before its object was: %s", describe(live))
	}
	w.told("apps", "Health check passed in ")
	if u.Status.History[0].TotalReconciliations != 1 {
		t.Errorf("one attempt counts %d times in the history", u.Status.History[0].TotalReconciliations)
	}
}

// TestTimeoutAndRecovery: when the time is up the unit says what it waits for, and when that comes after
// all, nobody has to help.
func TestTimeoutAndRecovery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	revision := w.commit(map[string]string{"apps/a.yaml": never})
	w.source()
	w.unit("apps", waits, func(u *kustomizev1.Kustomization) { u.Spec.Timeout = &metav1.Duration{Duration: time.Second} })
	running := w.until("apps", "checking health", func(u *kustomizev1.Kustomization) bool {
		return strings.HasPrefix(condition(u, meta.ReconcilingCondition).Message, "Running health checks for revision "+revision)
	})
	if condition(running, meta.ReadyCondition).Status != metav1.ConditionUnknown || running.Status.Inventory == nil {
		t.Errorf("while it waits: %s", describe(running))
	}
	u := w.failed("apps", "HealthCheckFailed", "timeout waiting for: [PersistentVolumeClaim/"+w.namespace+"/never status: 'InProgress'")
	if u.Status.LastAttemptedRevision != revision || u.Status.LastAppliedRevision != "" {
		t.Errorf("after the timeout: %s", describe(u))
	}
	claim := w.object("v1", "PersistentVolumeClaim", "never")
	bind(w, claim)
	w.ready("apps", revision)
	w.told("apps", "Health check passed in ")
}

// bind makes a claim look bound, as its controller would.
func bind(w *world, claim *unstructured.Unstructured) {
	w.t.Helper()
	live := read(w, claim)
	patch := client.MergeFrom(live.DeepCopy())
	check(w.t, unstructured.SetNestedField(live.Object, "Bound", "status", "phase"))
	check(w.t, w.client.Status().Patch(context.Background(), live, patch))
}

// TestFailedIsFast: there is no sense in sitting out the timeout of what will not get better.
func TestFailedIsFast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.commit(map[string]string{"apps/a.yaml": configMap("settings"), "apps/b.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: once\n" +
		"spec:\n  suspend: true\n  template:\n    spec:\n      restartPolicy: Never\n      containers: [{name: main, image: example.org/app:v1}]\n"})
	w.source()
	w.unit("apps", func(u *kustomizev1.Kustomization) {
		u.Spec.Timeout = &metav1.Duration{Duration: time.Hour}
		u.Spec.HealthChecks = []meta.NamespacedObjectKindReference{{APIVersion: "v1", Kind: "ConfigMap", Namespace: w.namespace, Name: "judged"}}
		u.Spec.HealthCheckExprs = []kustomize.CustomHealthCheck{{
			APIVersion: "v1", Kind: "ConfigMap",
			HealthCheckExpressions: kustomize.HealthCheckExpressions{Current: "data.state == 'good'", Failed: "data.state == 'bad'"},
		}}
	})
	w.until("apps", "checking health", func(u *kustomizev1.Kustomization) bool {
		return condition(u, meta.HealthyCondition).Status == metav1.ConditionUnknown
	})
	judged := w.configMap("judged") // nobody's object: it may come from anywhere
	check(t, unstructured.SetNestedField(judged.Object, "odd", "data", "state"))
	check(t, w.client.Create(context.Background(), judged.DeepCopy()))
	w.edit(judged, set("state", "bad"))
	w.failed("apps", "HealthCheckFailed", "failed early due to stalled resources: [ConfigMap/"+w.namespace+"/judged status: 'Failed'")
	w.edit(judged, set("state", "good"))
	u := w.until("apps", "ready", isReady)
	if condition(u, meta.HealthyCondition).Status != metav1.ConditionTrue {
		t.Errorf("after the recovery: %s", describe(u))
	}
}

// TestBadHealthExpression: only its author can help.
func TestBadHealthExpression(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	revision := w.commit(map[string]string{"apps/a.yaml": configMap("settings")})
	w.source()
	w.unit("apps", func(u *kustomizev1.Kustomization) {
		u.Spec.HealthCheckExprs = []kustomize.CustomHealthCheck{{
			APIVersion: "v1", Kind: "ConfigMap", HealthCheckExpressions: kustomize.HealthCheckExpressions{Current: "data.("},
		}}
	})
	u := w.failed("apps", "InvalidCELExpression", "healthCheckExprs[0]: current")
	if condition(u, meta.StalledCondition).Status != metav1.ConditionTrue {
		t.Errorf("%s", describe(u))
	}
	w.change("apps", func(u *kustomizev1.Kustomization) { u.Spec.HealthCheckExprs = nil })
	w.ready("apps", revision)
}

// TestExpiredJob: a Job that finished and was removed by its time to live did its work. It is neither
// missing, nor made again.
func TestExpiredJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{
		"apps/a.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: once\nspec:\n  ttlSecondsAfterFinished: 1\n  template:\n    spec:\n" +
			"      restartPolicy: Never\n      containers: [{name: main, image: example.org/app:v1}]\n",
		"apps/b.yaml": configMap("fence", "state: up"),
	}, waits)
	job := w.object("batch/v1", "Job", "once")
	await(w, job, "gone", gone)
	w.edit(w.configMap("fence"), set("state", "down"))
	await(w, w.configMap("fence"), "up", holds("state", "up"))
	w.ready("apps", w.commit(map[string]string{"apps/b.yaml": configMap("fence", "state: up", "more: yes_please")}))
	if read(w, job) != nil {
		t.Error("the Job was made again")
	}
}
