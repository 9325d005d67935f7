package operator_test

import (
	"encoding/json"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestStatusIsAsFluxWritesIt: scripts, alerts and a hand-over to Flux read every one of these fields.
func TestStatusIsAsFluxWritesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.deliver("apps", map[string]string{
		"apps/a.yaml": configMap("settings", "color: blue"),
		"apps/b.yaml": deployment("web", "web", 0),
	})
	revision := u.Status.LastAppliedRevision
	want := kustomizev1.KustomizationStatus{
		ObservedGeneration:    1,
		LastAppliedRevision:   revision,
		LastAttemptedRevision: revision,
		Conditions: []metav1.Condition{{
			Type: meta.ReadyCondition, Status: metav1.ConditionTrue, ObservedGeneration: 1,
			Reason: "ReconciliationSucceeded", Message: "Applied revision: " + revision,
		}},
		Inventory: &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{
			{ID: w.namespace + "_settings__ConfigMap", Version: "v1"},
			{ID: w.namespace + "_web_apps_Deployment", Version: "v1"},
		}},
		History: meta.History{{
			LastReconciledStatus: "ReconciliationSucceeded", TotalReconciliations: 1, Metadata: map[string]string{"revision": revision},
		}},
	}
	ignore := cmp.Options{
		cmpopts.IgnoreFields(metav1.Condition{}, "LastTransitionTime"),
		cmpopts.IgnoreFields(meta.Snapshot{}, "Digest", "FirstReconciled", "LastReconciled", "LastReconciledDuration"),
	}
	if diff := cmp.Diff(want, u.Status, ignore); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if len(u.Status.History) > 0 && !strings.HasPrefix(u.Status.History[0].Digest, "sha256:") {
		t.Errorf("the digest in the history is %q", u.Status.History[0].Digest)
	}
	if diff := cmp.Diff([]string{"finalizers.fluxcd.io"}, u.Finalizers); diff != "" {
		t.Errorf("finalizers (-want +got):\n%s", diff)
	}
}

// TestFieldManagers: with other names every object would change hands when Flux and we relieve each other.
func TestFieldManagers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings", "color: blue")})

	live := read(w, w.configMap("settings"))
	if got := managersOf(live.GetManagedFields()); !cmp.Equal(got, []string{"kustomize-controller Apply"}) {
		t.Errorf("managers of the object: %v", got)
	}
	labels := map[string]string{
		"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": w.namespace,
	}
	if diff := cmp.Diff(labels, live.GetLabels()); diff != "" {
		t.Errorf("owner labels (-want +got):\n%s", diff)
	}
	for _, entry := range u.ManagedFields {
		var owned map[string]any
		check(t, json.Unmarshal(entry.FieldsV1.Raw, &owned))
		metadata, _ := owned["f:metadata"].(map[string]any)
		_, finalizer := metadata["f:finalizers"]
		_, status := owned["f:status"]
		if (finalizer || status) && entry.Manager != "gotk-kustomize-controller" {
			t.Errorf("status or finalizer belongs to %s", entry.Manager)
		}
	}
}

func managersOf(entries []metav1.ManagedFieldsEntry) []string {
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Manager + " " + string(entry.Operation)
		if entry.Subresource != "" {
			names[i] += " " + entry.Subresource
		}
	}
	return names
}

// TestCommitElsewhereCostsOneStatusWrite: most commits of a large repository touch nothing of most units.
func TestCommitElsewhereCostsOneStatusWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings", "color: blue")})
	w.told("apps", "Reconciliation finished")
	before := w.events("apps")
	w.daemon.traffic.take(w.namespace)

	revision := w.commit(map[string]string{"elsewhere/readme.md": "nothing of apps"})
	u := w.ready("apps", revision)

	var about []string
	for _, one := range w.daemon.traffic.take(w.namespace) {
		if !strings.Contains(one.Path, "gitrepositories") {
			about = append(about, one.String())
		}
	}
	want := []string{"PATCH kustomizations/apps/status"}
	if diff := cmp.Diff(want, about); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if after := w.events("apps"); len(after) != len(before) {
		t.Errorf("people were told of nothing: %v", after)
	}
	if u.Status.History[0].TotalReconciliations != 2 || u.Status.History[0].Metadata["revision"] != revision {
		t.Errorf("the history does not have the revision: %+v", u.Status.History)
	}
}

// TestCommitOfOneObject: what did not change costs nothing, however much of it there is.
func TestCommitOfOneObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{
		"apps/a.yaml": configMap("settings", "color: blue"), "apps/b.yaml": configMap("other"), "apps/c.yaml": deployment("web", "web", 0),
	})
	w.daemon.traffic.take(w.namespace)
	revision := w.commit(map[string]string{"apps/a.yaml": configMap("settings", "color: red")})
	w.ready("apps", revision)
	var about []string
	for _, one := range w.daemon.traffic.take(w.namespace) {
		if !strings.Contains(one.Path, "gitrepositories") && !strings.Contains(one.Path, "kustomizations") {
			about = append(about, one.String())
		}
	}
	want := []string{"DRY-RUN configmaps/settings", "APPLY configmaps/settings"}
	if diff := cmp.Diff(want, about); diff != "" {
		t.Errorf("requests about objects (-want +got):\n%s", diff)
	}
	w.told("apps", "ConfigMap/"+w.namespace+"/settings configured")
}
