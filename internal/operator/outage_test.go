package operator_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/operator"
)

// TestServerTrouble: an API server that fails for a while is not the unit's fault. It recovers without
// help, and nothing of the trouble stays in the status.
func TestServerTrouble(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		why    string
		answer func() (*http.Response, error)
	}{
		"TooManyRequests": {why: "priority and fairness turns us away", answer: func() (*http.Response, error) {
			return refuse(http.StatusTooManyRequests, "TooManyRequests", "please try again later"), nil
		}},
		"Internal": {why: "etcd has a bad moment", answer: func() (*http.Response, error) {
			return refuse(http.StatusInternalServerError, "InternalError", "etcdserver: request timed out"), nil
		}},
		"Lost": {why: "the write was made, and we never heard of it", answer: func() (*http.Response, error) { return nil, errLost }},
		"Reset": {why: "the connection breaks", answer: func() (*http.Response, error) {
			return nil, errors.New("read: connection reset by peer")
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var left atomic.Int32
			left.Store(7)
			w.daemon.traffic.fault(w.namespace, func(r request) (*http.Response, error) {
				if !strings.HasPrefix(r.Path, "gitrepositories") && !strings.HasPrefix(r.Path, "events") && r.Method != http.MethodGet && left.Add(-1) >= 0 {
					return tc.answer()
				}
				return nil, nil
			})
			u := w.deliver("apps", map[string]string{"apps/a.yaml": configMap("a"), "apps/b.yaml": configMap("b"), "apps/c.yaml": configMap("c")})
			if left.Load() >= 0 {
				t.Errorf("%s: there was no trouble", tc.why)
			}
			if len(u.Status.Conditions) != 1 || len(u.Status.Inventory.Entries) != 3 {
				t.Errorf("%s: %s", tc.why, describe(u))
			}
		})
	}
}

// TestDaemonDiesAtEveryWrite: whenever the daemon dies, nothing is orphaned, and the next one ends what
// it began.
func TestDaemonDiesAtEveryWrite(t *testing.T) {
	t.Parallel()
	// A delivery of three objects has about a dozen writes: the finalizer, the intended inventory, dry-runs
	// and applies, the status. At each of them the daemon dies, and another one takes over.
	for k := int32(1); k <= 9; k++ {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			t.Parallel()
			shared(t)
			w := emptyWorld(t)
			w.own = true
			var writes atomic.Int32
			dead := make(chan struct{})
			first := w.start(nil)
			first.traffic.fault(w.namespace, func(r request) (*http.Response, error) {
				if !r.writes() || strings.HasPrefix(r.Path, "gitrepositories") || strings.HasPrefix(r.Path, "events") {
					return nil, nil
				}
				if n := writes.Add(1); n > k {
					if n == k+1 {
						close(dead)
					}
					return nil, errors.New("the process is dead") // and nothing that it sends arrives
				}
				return nil, nil
			})
			w.daemon = first
			revision := w.commit(map[string]string{"apps/a.yaml": configMap("a"), "apps/b.yaml": configMap("b"), "apps/c.yaml": configMap("c")})
			w.source()
			w.unit("apps")
			select {
			case <-dead:
			case <-w.settled("apps", revision): // it had fewer writes than that
			case <-time.After(patience):
				t.Fatal("nothing happened")
			}
			first.halt()
			// Everything that exists is in the inventory.
			u := w.get("apps")
			for _, name := range []string{"a", "b", "c"} {
				if read(w, w.configMap(name)) != nil && !inInventory(u, w.namespace+"_"+name+"__ConfigMap") {
					t.Errorf("%s exists and is in no inventory: a commit that removes it now would orphan it", name)
				}
			}
			w.daemon = w.start(nil)
			u = w.ready("apps", revision)
			if len(u.Status.Inventory.Entries) != 3 || len(u.Status.Conditions) != 1 {
				t.Errorf("after the restart: %s", describe(u))
			}
			w.remove("apps")
			for _, name := range []string{"a", "b", "c"} {
				await(w, w.configMap(name), "gone", gone)
			}
		})
	}
}

// settled tells when a unit is ready.
func (w *world) settled(name, revision string) <-chan struct{} {
	w.t.Helper()
	watcher := w.watch(w.t.Context(), w.unitNamed(name))
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer watcher.Stop()
		for event := range watcher.ResultChan() {
			if u, ok := event.Object.(*kustomizev1.Kustomization); ok && u.Status.LastAppliedRevision == revision && isReady(u) {
				return
			}
		}
	}()
	return done
}

func inInventory(u *kustomizev1.Kustomization, id string) bool {
	if u.Status.Inventory != nil {
		for _, entry := range u.Status.Inventory.Entries {
			if entry.ID == id {
				return true
			}
		}
	}
	return false
}

// TestRestartWritesNothing: a daemon that starts over a cluster that has everything leaves it alone.
func TestRestartWritesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kept := func(c *operator.Config) { c.Dir = dir }
	w := newOwnWorld(t, kept)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("a"), "apps/b.yaml": deployment("web", "web", 1)}, waits)
	before := w.get("apps").ResourceVersion
	w.daemon.halt()
	w.daemon = w.start(kept)
	var seen []request
	eventually.True(t, "it makes sure of both objects by dry-run", func() bool {
		for _, one := range w.daemon.traffic.take(w.namespace) {
			if one.DryRun { // it makes sure, once
				seen = append(seen, one)
			} else if one.writes() && !strings.HasPrefix(one.Path, "gitrepositories") {
				t.Errorf("after a restart: %s", one)
			}
		}
		return len(seen) >= 2
	})
	// What follows from that is over when another unit is in place.
	w.unit("fence")
	w.failed("fence", "ArtifactFailed", "path not found")
	for _, one := range w.daemon.traffic.take(w.namespace) {
		if one.writes() && !strings.Contains(one.Path, "fence") && !strings.HasPrefix(one.Path, "gitrepositories") {
			t.Errorf("after a restart: %s", one)
		}
	}
	if u := w.get("apps"); u.ResourceVersion != before {
		t.Errorf("its status was written: %s", describe(u))
	}
}

// TestQuota: what only the write itself can know is recorded object by object, and passes when the
// quota allows it.
func TestQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	quota := w.object("v1", "ResourceQuota", "small")
	check(t, unstructured.SetNestedField(quota.Object, "3", "spec", "hard", "count/configmaps"))
	w.create(quota)
	await(w, quota, "counted", func(u *unstructured.Unstructured) bool { return u != nil && field(u, "status", "hard") != "" })
	revision := w.commit(map[string]string{
		"apps/a.yaml": configMap("a"), "apps/b.yaml": configMap("b"), "apps/c.yaml": configMap("c"), "apps/d.yaml": configMap("d"),
	})
	w.source()
	w.unit("apps", func(u *kustomizev1.Kustomization) { u.Spec.RetryInterval = &metav1.Duration{Duration: time.Second} })
	u := w.failed("apps", "ReconciliationFailed", "exceeded quota: small")
	for _, name := range []string{"a", "b", "c", "d"} {
		if read(w, w.configMap(name)) != nil && !inInventory(u, w.namespace+"_"+name+"__ConfigMap") {
			t.Errorf("%s exists and is in no inventory", name)
		}
	}
	w.edit(quota, func(u *unstructured.Unstructured) {
		_ = unstructured.SetNestedField(u.Object, "9", "spec", "hard", "count/configmaps")
	})
	w.ready("apps", revision)
}

// TestAdmissionDenied: one object that a policy denies keeps all of its stage out, and the message
// says which, and why.
func TestAdmissionDenied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	policy := w.object("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", w.namespace)
	policy.SetNamespace("")
	policy.Object["spec"] = map[string]any{
		"failurePolicy": "Fail",
		"matchConstraints": map[string]any{"resourceRules": []any{map[string]any{
			"apiGroups": []any{""}, "apiVersions": []any{"v1"}, "operations": []any{"CREATE", "UPDATE"}, "resources": []any{"configmaps"},
		}}},
		"validations": []any{map[string]any{
			"expression": "object.metadata.namespace != '" + w.namespace + "' || object.metadata.name == 'kube-root-ca.crt' || !has(object.data) || object.data.color != 'red'",
			"message":    "red is not allowed here",
		}},
	}
	binding := w.object("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", w.namespace)
	binding.SetNamespace("")
	binding.Object["spec"] = map[string]any{"policyName": w.namespace, "validationActions": []any{"Deny"}}
	w.create(policy)
	w.create(binding)
	t.Cleanup(func() { w.delete(policy); w.delete(binding) })
	eventually.True(t, "the policy is in force", func() bool {
		probe := w.configMap("probe")
		set("color", "red")(probe)
		if err := w.client.Create(t.Context(), probe); err != nil {
			return true
		}
		w.delete(probe)
		return false
	})
	w.commit(map[string]string{"apps/a.yaml": configMap("a", "color: blue"), "apps/b.yaml": configMap("b", "color: red"), "apps/c.yaml": configMap("c", "color: red")})
	w.source()
	w.unit("apps")
	u := w.failed("apps", "ReconciliationFailed", "red is not allowed here")
	lines := strings.Split(condition(u, meta.ReadyCondition).Message, "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "ConfigMap/"+w.namespace+"/b ") || !strings.HasPrefix(lines[1], "ConfigMap/"+w.namespace+"/c ") {
		t.Errorf("one line for each object that was denied: %q", lines)
	}
	if read(w, w.configMap("a")) != nil {
		t.Error("a part of the stage was written")
	}
	w.ready("apps", w.commit(map[string]string{"apps/b.yaml": configMap("b", "color: green"), "apps/c.yaml": ""}))
}
