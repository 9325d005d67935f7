package operator_test

import (
	"fmt"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/eventually"
)

// TestCondemned: each way in which a release fails ends with the last good state live, one release that
// was rolled back, and a message that names the cause.
func TestCondemned(t *testing.T) {
	t.Parallel()
	image := func(tag string) string { return strings.Replace(deployment("web", "web", 1), "app:v1", "app:"+tag, 1) }
	job := "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: once\nspec:\n  backoffLimit: 0\n  template:\n    spec:\n" +
		"      restartPolicy: Never\n      containers:\n        - name: main\n          image: example.org/app:fails\n"
	secret := func(name string) string { return "apiVersion: v1\nkind: Secret\nmetadata:\n  name: " + name + "\n" }
	cases := map[string]struct {
		why   string
		files map[string]string
		text  string
		waits bool
		room  bool // for one Secret
	}{
		"Image":       {why: "an image that cannot be pulled", files: map[string]string{"apps/web.yaml": image("does-not-exist")}, text: "Deployment/", waits: true},
		"ImageNoWait": {why: "also where the unit does not wait for health", files: map[string]string{"apps/web.yaml": image("does-not-exist")}, text: "Deployment/"},
		"CrashLoop":   {why: "Pods that crash again and again", files: map[string]string{"apps/web.yaml": image("crash-loop")}, text: "Deployment/", waits: true},
		"Job":         {why: "a Job that fails", files: map[string]string{"apps/job.yaml": job}, text: "Job/", waits: true},
		"Quota":       {why: "Pods that a quota has no room for", files: map[string]string{"apps/web.yaml": deployment("web", "web", 3), "apps/quota.yaml": "apiVersion: v1\nkind: ResourceQuota\nmetadata:\n  name: small\nspec:\n  hard: {pods: \"1\"}\n"}, text: "quota", waits: true},
		"Refused":     {why: "an object that the server refuses after others were written: each alone has room", files: map[string]string{"apps/one.yaml": secret("one"), "apps/two.yaml": secret("two")}, text: "exceeded quota", waits: true, room: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			settings := []func(*kustomizev1.Kustomization){unbaked}
			if tc.waits {
				settings = append(settings, waits)
			}
			w.deliver("apps", map[string]string{"apps/a.yaml": configMap("a", "color: blue")}, settings...)
			w.good("apps")
			if tc.room {
				w.roomForOneSecret()
			}
			tc.files["apps/a.yaml"] = configMap("a", "color: red")
			bad := w.commit(tc.files)
			w.failed("apps", "RolledBack", tc.text)
			w.told("apps", "Git wants "+bad)
			await(w, w.configMap("a"), "back", holds("color", "blue"))
			for _, made := range []*unstructured.Unstructured{w.object("apps/v1", "Deployment", "web"), w.object("batch/v1", "Job", "once"), w.object("v1", "ResourceQuota", "small"), w.object("v1", "Secret", "one"), w.object("v1", "Secret", "two")} {
				await(w, made, "gone", gone)
			}
			if told := w.verdicts("apps"); len(told) != 2 || told[0] != "RolledBack" {
				t.Errorf("%s: the releases are %v", tc.why, told)
			}
		})
	}
}

// roomForOneSecret limits the namespace, and waits until the server knows.
func (w *world) roomForOneSecret() {
	w.t.Helper()
	w.create(&corev1.ResourceQuota{ObjectMeta: w.meta("room"), Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/secrets": resource.MustParse("1")}}})
	eventually.True(w.t, "the quota is in force", func() bool {
		probes := make([]error, 2)
		for i := range probes {
			probes[i] = w.client.Create(w.t.Context(), &corev1.Secret{ObjectMeta: w.meta(fmt.Sprint("probe-", i))})
		}
		for i := range probes {
			check(w.t, client.IgnoreNotFound(w.client.Delete(w.t.Context(), &corev1.Secret{ObjectMeta: w.meta(fmt.Sprint("probe-", i))})))
		}
		return apierrors.IsForbidden(probes[1])
	})
	about := &corev1.ResourceQuota{ObjectMeta: w.meta("room")}
	await(w, about, "empty again", func(quota *corev1.ResourceQuota) bool {
		used, known := quota.Status.Used["count/secrets"]
		return known && used.IsZero()
	})
}

// TestNotCondemned: what is not the release's fault does not undo it.
func TestNotCondemned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("a", "color: blue"), "apps/old.yaml": configMap("old", "state: fine")}, unbaked, judgedByState)
	w.good("apps")
	// It breaks of its own accord, in a field that Git does not set.
	w.ready("apps", w.commit(map[string]string{"apps/old.yaml": configMap("old", "color: blue")}))
	w.good("apps")
	w.editAs("other", w.configMap("old"), set("state", "broken"))
	// The next release does not make it worse, and is good although the object is not.
	w.ready("apps", w.commit(map[string]string{"apps/a.yaml": configMap("a", "color: red")}))
	w.good("apps")
	// But one that breaks the other object itself is undone.
	w.commit(map[string]string{"apps/a.yaml": configMap("a", "state: broken")})
	w.failed("apps", "RolledBack", "ConfigMap/"+w.namespace+"/a")
	await(w, w.configMap("a"), "back", holds("color", "red"))
}

// TestForwardOnly: a migration that is complete cannot be undone, so the release fails and stays.
func TestForwardOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("a", "color: blue")}, waits, unbaked, judgedByState)
	w.good("apps")
	migration := "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: migrate\n  annotations: {holdfast.dev/migration: \"true\"}\nspec:\n  template:\n    spec:\n" +
		"      restartPolicy: Never\n      containers:\n        - name: main\n          image: example.org/app:v2\n"
	w.ready("apps", w.commit(map[string]string{"apps/job.yaml": migration}))
	w.good("apps")
	w.change("apps", func(u *kustomizev1.Kustomization) { annotate(u, "holdfast.dev/forward-only", "true") })
	w.commit(map[string]string{"apps/a.yaml": configMap("a", "state: broken")})
	w.failed("apps", "HealthCheckFailed", "the unit is forward-only")
	await(w, w.configMap("a"), "as Git wants", holds("state", "broken"))
	// With a migration of its own, only that release is.
	w.ready("apps", w.commit(map[string]string{"apps/a.yaml": configMap("a", "state: fine")}))
	w.good("apps")
	w.change("apps", func(u *kustomizev1.Kustomization) {
		delete(u.Annotations, "holdfast.dev/forward-only")
		annotate(u, "holdfast.dev/bake", "1h")
	})
	w.ready("apps", w.commit(map[string]string{"apps/job.yaml": strings.Replace(migration, "name: migrate", "name: migrate2", 1), "apps/a.yaml": configMap("a", "color: green")}))
	w.editAs("other", w.configMap("a"), set("state", "broken"))
	w.failed("apps", "HealthCheckFailed", "is a migration, and complete")
}

// TestOutageBreaksTheCircuit: while units that nobody changed become unhealthy all around, no release is
// blamed for its health.
func TestOutageBreaksTheCircuit(t *testing.T) {
	t.Parallel()
	w := newOwnWorld(t, nil) // the circuit is the daemon's
	files := map[string]string{"apps/a.yaml": configMap("a", "color: blue")}
	others := []string{"one", "two", "three"}
	for _, name := range others {
		files[name+"/x.yaml"] = configMap("x-"+name, "color: blue")
	}
	w.deliver("apps", files, waits, unbaked, judgedByState)
	w.good("apps")
	for _, name := range others {
		w.unit(name, waits, unbaked, judgedByState)
		w.good(name)
	}
	for _, name := range others {
		w.editAs("other", w.configMap("x-"+name), set("state", "broken"))
	}
	for _, name := range others {
		w.failed(name, "HealthCheckFailed", "x-"+name)
	}
	w.commit(map[string]string{"apps/a.yaml": configMap("a", "state: broken")})
	w.failed("apps", "HealthCheckFailed", "ConfigMap/"+w.namespace+"/a")
	if told := w.verdicts("apps"); told[0] != "Pending" {
		t.Errorf("the release was judged in an outage: %v", told)
	}
}
