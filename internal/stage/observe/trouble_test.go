package observe_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// Workloads of image IMAGE.
const (
	podTemplate = `
    metadata: {labels: {app: web}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: main, image: "IMAGE", resources: {requests: {cpu: 10m}}}]}`
	deploymentManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NS}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  template:` + podTemplate
	statefulSetManifest = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web, namespace: NS}
spec:
  serviceName: web
  selector: {matchLabels: {app: web}}
  template:` + podTemplate
	daemonSetManifest = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web, namespace: NS}
spec:
  selector: {matchLabels: {app: web}}
  template:` + podTemplate
	onceManifest = `
apiVersion: batch/v1
kind: Job
metadata: {name: web, namespace: NS}
spec:
  backoffLimit: 0
  template:
    spec: {restartPolicy: Never, containers: [{name: main, image: "IMAGE", resources: {requests: {cpu: 10m}}}]}`
	noPods = `
apiVersion: v1
kind: ResourceQuota
metadata: {name: none, namespace: NS}
spec: {hard: {pods: "0"}}`
)

const (
	goodImage   = "example.org/app:1"
	absentImage = "example.org/app:does-not-exist"
	crashImage  = "example.org/app:crash-loop"
)

func withImage(manifest, image string) string { return strings.ReplaceAll(manifest, "IMAGE", image) }

func failed(reason observe.Reason) func(observe.State) bool {
	return func(s observe.State) bool { return s.Health.Status == observe.Failed && s.Health.Reason == reason }
}

func current(s observe.State) bool { return s.Health.Status == observe.Current }

// TestTroubles: what cannot come up is seen to fail, long before any deadline.
func TestTroubles(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		why, manifest, image string
		before               string // what stands in the way
		change               func(*unstructured.Unstructured)
		reason               observe.Reason
		message              string
	}{
		"DeploymentImage": {
			why: "an image that does not exist will not", manifest: deploymentManifest, image: absentImage,
			reason: observe.ImagePull, message: `image "example.org/app:does-not-exist" cannot be pulled: ImagePullBackOff: failed to pull`,
		},
		"DeploymentCrash": {
			why: "three restarts are enough", manifest: deploymentManifest, image: crashImage,
			reason: observe.CrashLoop, message: "container main: CrashLoopBackOff after 3 restarts; it ended with code 1 (Error)",
		},
		"InitContainerCrash": {
			why: "what comes first counts, too", manifest: deploymentManifest, image: goodImage,
			change: func(u *unstructured.Unstructured) {
				set([]any{map[string]any{"name": "first", "image": crashImage}}, "spec", "template", "spec", "initContainers")(u.Object)
			},
			reason: observe.CrashLoop, message: "container first: CrashLoopBackOff",
		},
		"StatefulSetImage": {
			why: "its Pods carry its revision", manifest: statefulSetManifest, image: absentImage,
			reason: observe.ImagePull, message: "Pod web-0: container main",
		},
		"DaemonSetCrash": {
			why: "its Pods carry the generation of its template", manifest: daemonSetManifest, image: crashImage,
			reason: observe.CrashLoop, message: "container main",
		},
		"JobImage": {
			why: "a Job would wait for its image for ever", manifest: onceManifest, image: absentImage,
			reason: observe.ImagePull, message: "container main",
		},
		"JobFails": {
			why: "its own verdict", manifest: onceManifest, image: "example.org/app:fails",
			reason: observe.JobFailed, message: "Job Failed",
		},
		"DeploymentQuota": {
			why: "its own condition tells", manifest: deploymentManifest, image: goodImage, before: noPods,
			reason: observe.Quota, message: "exceeded quota: none",
		},
		"StatefulSetQuota": {
			why: "Events alone tell", manifest: statefulSetManifest, image: goodImage, before: noPods,
			reason: observe.Quota, message: "exceeded quota: none",
		},
		"JobQuota": {
			why: "Events alone tell", manifest: onceManifest, image: goodImage, before: noPods,
			reason: observe.Quota, message: "exceeded quota: none",
		},
		"PodSecurity": {
			why: "a policy does not change its mind", manifest: deploymentManifest, image: goodImage,
			before: "{apiVersion: v1, kind: Namespace, metadata: {name: NS, labels: {pod-security.kubernetes.io/enforce: restricted}}}",
			reason: observe.Refused, message: "violates PodSecurity",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if test.before != "" {
				w.apply(w.plain(test.before), "somebody", false)
				w.settled(test.before)
			}
			wanted := w.object(withImage(test.manifest, test.image))
			if test.change != nil {
				test.change(wanted)
			}
			ref := object.RefOf(wanted)
			w.claim(ref)
			w.own(wanted)
			start := time.Now()
			state := w.until(ref, "failed: "+test.why, failed(test.reason))
			t.Logf("after %v: %s", time.Since(start).Round(time.Millisecond), state.Health.Message)
			if !strings.Contains(state.Health.Message, test.message) {
				t.Errorf("%q lacks %q", state.Health.Message, test.message)
			}
			w.await(ref, observe.HealthChanged)
		})
	}
}

// settled waits until a quota is in force.
func (w *world) settled(manifest string) {
	w.t.Helper()
	ref := object.RefOf(w.plain(manifest))
	eventually.Within(w.t, patience, "the quota is counted", func() bool {
		_, found, _ := unstructured.NestedString(w.get(ref).Object, "status", "used", "pods")
		return found || ref.Kind != "ResourceQuota"
	})
}

// TestRecovery: the verdict follows the Pods in both directions, and those of before do not count.
func TestRecovery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deployment := func(image string) *unstructured.Unstructured { return w.object(withImage(deploymentManifest, image)) }
	ref := object.RefOf(deployment(goodImage))
	w.claim(ref)
	w.own(deployment(goodImage))
	w.until(ref, "well", current)
	w.own(deployment(absentImage))
	w.until(ref, "failed", failed(observe.ImagePull))

	// The Pod of before stays, and stays ill, until the new one is ready, which it never is.
	w.own(deployment("example.org/app:never-ready"))
	w.until(ref, "in progress", func(s observe.State) bool {
		return s.Health.Status == observe.InProgress && strings.Contains(s.Health.Message, "Updated: 1/1") ||
			s.Health.Status == observe.InProgress && strings.Contains(s.Health.Message, "ending termination")
	})
	w.own(deployment(goodImage))
	w.until(ref, "well again", current)
}

// TestQuotaRaised: what was refused may be granted later.
func TestQuotaRaised(t *testing.T) {
	t.Parallel()
	for name, manifest := range map[string]string{"Deployment": deploymentManifest, "StatefulSet": statefulSetManifest} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.apply(w.plain(noPods), "somebody", false)
			w.settled(noPods)
			wanted := w.object(withImage(manifest, goodImage))
			ref := object.RefOf(wanted)
			w.claim(ref)
			w.own(wanted)
			w.until(ref, "failed", failed(observe.Quota))
			w.heard.forget()
			w.apply(w.plain(replace(noPods, `pods: "0"`, `pods: "10"`)), "somebody", false)
			w.remove(object.RefOf(w.plain(noPods)))
			w.edit(ref, set("now", "metadata", "annotations", "example.org/try")) // wakes its controller
			w.await(ref, observe.HealthChanged)
			w.until(ref, "well", current)
		})
	}
}

// TestTroubleWithFaults: the watch of Pods goes through what every watch does.
func TestTroubleWithFaults(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	w := newWorldAt(t, p.config(), observe.Options{})
	wanted := w.object(withImage(statefulSetManifest, absentImage))
	ref := object.RefOf(wanted)
	w.claim(ref)
	w.own(wanted)
	w.until(ref, "failed", failed(observe.ImagePull))
	p.set(refuse(http.StatusGone, "Expired"))
	p.cut()
	pod := object.Ref{Version: "v1", Kind: "Pod", Namespace: w.namespace, Name: "web-0"}
	w.own(w.object(withImage(statefulSetManifest, goodImage)))
	w.remove(pod) // a StatefulSet does not replace a Pod that was never ready
	p.set(nil)
	w.until(ref, "well", current)
}

// TestPodsForbidden: without the right to watch Pods, workloads are judged as they always were.
func TestPodsForbidden(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	var asked, told atomic.Int32
	p.set(func(answer http.ResponseWriter, request *http.Request) bool {
		if request.URL.Path != "/api/v1/pods" {
			return false
		}
		asked.Add(1)
		return refuse(http.StatusForbidden, "Forbidden")(answer, request)
	})
	log := funcr.New(func(_, args string) {
		if strings.Contains(args, "watching is forbidden") {
			told.Add(1)
		}
	}, funcr.Options{})
	w := newWorldAt(t, p.config(), observe.Options{Log: log})
	good, bad := w.object(withImage(statefulSetManifest, goodImage)), w.object(replace(withImage(deploymentManifest, absentImage), "name: web", "name: bad"))
	w.claim(object.RefOf(good), object.RefOf(bad))
	w.own(bad)
	w.own(good)
	w.until(object.RefOf(good), "well", current)
	if state := w.observer.State(object.RefOf(bad)); state.Health.Status != observe.InProgress {
		t.Errorf("%+v", state.Health)
	}
	if told.Load() != 1 || asked.Load() > 3 {
		t.Errorf("told %d times, asked %d times", told.Load(), asked.Load())
	}
}

// TestTroubleWatchesEnd: watches are there while somebody needs them, and no longer.
func TestTroubleWatchesEnd(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, clustertest.Start(t), observe.Options{Linger: 10 * time.Millisecond})
	plain := w.object(configMap)
	w.claim(object.RefOf(plain))
	w.own(plain)
	w.awaitFor(w.unit, object.Ref{}, observe.Synced)
	if watches := w.observer.Stats().Watches; watches != 1 {
		t.Errorf("%d watches for a ConfigMap", watches)
	}
	bad := w.object(withImage(deploymentManifest, absentImage))
	w.claim(object.RefOf(plain), object.RefOf(bad))
	w.own(bad)
	w.until(object.RefOf(bad), "failed", failed(observe.ImagePull))
	if watches := w.observer.Stats().Watches; watches != 4 {
		t.Errorf("%d watches; want ConfigMaps, Deployments, Pods, ReplicaSets", watches)
	}
	w.observer.Release(w.unit)
	w.until(object.RefOf(plain), "unwatched", func(observe.State) bool { return w.observer.Stats().Watches == 0 })
	if stats := w.observer.Stats(); stats.Sick != 0 || stats.Records != 0 {
		t.Errorf("%+v", stats)
	}
}
