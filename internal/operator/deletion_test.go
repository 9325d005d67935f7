package operator_test

import (
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestDeletion: what becomes of the objects when their unit is deleted.
func TestDeletion(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		why       string
		change    func(*kustomizev1.Kustomization)
		wantGone  bool
		wantEvent string
	}{
		"MirrorPrune":   {why: "the default does what prune says", wantGone: true, wantEvent: "settings deleted"},
		"MirrorNoPrune": {why: "and so it keeps them without prune", change: func(u *kustomizev1.Kustomization) { u.Spec.Prune = false }},
		"Delete": {why: "whatever prune says", wantGone: true, change: func(u *kustomizev1.Kustomization) {
			u.Spec.Prune, u.Spec.DeletionPolicy = false, kustomizev1.DeletionPolicyDelete
		}},
		"Orphan": {why: "the objects outlive the unit", change: func(u *kustomizev1.Kustomization) { u.Spec.DeletionPolicy = kustomizev1.DeletionPolicyOrphan }},
		"Await": {why: "the unit goes last", wantGone: true, change: func(u *kustomizev1.Kustomization) {
			u.Spec.DeletionPolicy = kustomizev1.DeletionPolicyWaitForTermination
		}},
		"Suspended": {why: "a suspended unit does nothing, so it deletes nothing", change: func(u *kustomizev1.Kustomization) { u.Labels = map[string]string{"suspend": "yes"} }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if tc.change == nil {
				tc.change = func(*kustomizev1.Kustomization) {}
			}
			u := w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings", "color: blue")}, tc.change)
			if u.Labels["suspend"] != "" {
				w.change("apps", func(u *kustomizev1.Kustomization) { u.Spec.Suspend = true })
			}
			w.remove("apps")
			if live := read(w, w.configMap("settings")); (live == nil) != tc.wantGone {
				t.Errorf("%s: %s", tc.why, describe(live))
			}
			if tc.wantEvent != "" {
				w.told("apps", tc.wantEvent)
			}
		})
	}
}

// TestDeletionAwaitsTermination: with that policy the unit stays until its objects are really gone.
func TestDeletionAwaitsTermination(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings"), "apps/b.yaml": configMap("free")}, func(u *kustomizev1.Kustomization) {
		u.Spec.DeletionPolicy = kustomizev1.DeletionPolicyWaitForTermination
	})
	about := w.configMap("settings")
	w.edit(about, func(u *unstructured.Unstructured) { u.SetFinalizers([]string{"example.org/hold"}) })
	w.delete(w.get("apps"))
	await(w, about, "on its way out", func(u *unstructured.Unstructured) bool { return u != nil && u.GetDeletionTimestamp() != nil })
	await(w, w.configMap("free"), "gone", gone)
	if u := w.get("apps"); u.DeletionTimestamp == nil {
		t.Errorf("%s", describe(u))
	}
	w.edit(about, func(u *unstructured.Unstructured) { u.SetFinalizers(nil) })
	await(w, w.unitNamed("apps"), "gone", func(u *kustomizev1.Kustomization) bool { return u == nil })
}

// TestDeletionGivesUpAwaiting: the timeout is a promise here, too, and people are told.
func TestDeletionGivesUpAwaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings")}, func(u *kustomizev1.Kustomization) {
		u.Spec.DeletionPolicy = kustomizev1.DeletionPolicyWaitForTermination
		u.Spec.Timeout = &metav1.Duration{Duration: time.Second}
	})
	about := w.configMap("settings")
	w.edit(about, func(u *unstructured.Unstructured) { u.SetFinalizers([]string{"example.org/hold"}) })
	w.delete(w.get("apps"))
	w.told("apps", "gave up waiting for resources termination")
	await(w, w.unitNamed("apps"), "gone", func(u *kustomizev1.Kustomization) bool { return u == nil })
	w.edit(about, func(u *unstructured.Unstructured) { u.SetFinalizers(nil) })
}

func (w *world) unitNamed(name string) *kustomizev1.Kustomization {
	return &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
}

// TestDeletionWithoutAccount: a unit whose account is gone may do nothing any more, and must not hang.
func TestDeletionWithoutAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("deployer", "edit")
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings")}, func(u *kustomizev1.Kustomization) { u.Spec.ServiceAccountName = "deployer" })
	w.delete(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "deployer"}})
	w.remove("apps")
	if read(w, w.configMap("settings")) == nil {
		t.Error("objects were deleted with rights that the unit does not have")
	}
	w.told("apps", "ConfigMap/"+w.namespace+"/settings")
}

// TestRefusedDeletionIsRetried: a unit keeps its finalizer while its objects cannot be deleted.
func TestRefusedDeletionIsRetried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("deployer", "edit")
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings")}, func(u *kustomizev1.Kustomization) { u.Spec.ServiceAccountName = "deployer" })
	binding := w.object("rbac.authorization.k8s.io/v1", "RoleBinding", "deployer")
	w.delete(binding)
	await(w, binding, "gone", gone)
	w.delete(w.get("apps"))
	event := w.told("apps", "pruning for deleted resource failed")
	if !strings.Contains(event.Message, "forbidden") {
		t.Errorf("the event does not say why: %s", event.Message)
	}
	if w.get("apps").DeletionTimestamp == nil {
		t.Error("it was let go")
	}
	w.bindRole("deployer", "edit")
	await(w, w.unitNamed("apps"), "gone", func(u *kustomizev1.Kustomization) bool { return u == nil })
	if read(w, w.configMap("settings")) != nil {
		t.Error("its object is left")
	}
}
