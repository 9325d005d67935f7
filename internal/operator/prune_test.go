package operator_test

import (
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
)

func TestPrune(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		why      string
		files    map[string]string // the first commit
		then     map[string]string // the second
		change   func(*kustomizev1.Kustomization)
		wantGone bool
		wantIDs  int
	}{
		"Removed": {
			why:   "what Git no longer has goes",
			files: map[string]string{"apps/a.yaml": configMap("old"), "apps/b.yaml": configMap("kept")},
			then:  map[string]string{"apps/a.yaml": ""}, wantGone: true, wantIDs: 1,
		},
		"Everything": {
			why:   "an empty build is a wish like any other",
			files: map[string]string{"apps/a.yaml": configMap("old"), "apps/readme.md": "keeps the folder"},
			then:  map[string]string{"apps/a.yaml": ""}, wantGone: true,
		},
		"Disabled": {
			why:   "an object may ask to be kept",
			files: map[string]string{"apps/a.yaml": annotated(configMap("old"), "kustomize.toolkit.fluxcd.io/prune", "Disabled"), "apps/b.yaml": configMap("kept")},
			then:  map[string]string{"apps/a.yaml": ""}, wantIDs: 1,
		},
		"UnitSaysNo": {
			why:    "a unit without prune lets objects go",
			files:  map[string]string{"apps/a.yaml": configMap("old"), "apps/b.yaml": configMap("kept")},
			then:   map[string]string{"apps/a.yaml": ""},
			change: func(u *kustomizev1.Kustomization) { u.Spec.Prune = false }, wantIDs: 1,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if tc.change == nil {
				tc.change = func(*kustomizev1.Kustomization) {}
			}
			w.deliver("apps", tc.files, tc.change)
			u := w.ready("apps", w.commit(tc.then))
			if live := read(w, w.configMap("old")); (live == nil) != tc.wantGone {
				t.Errorf("%s: the object is %v", tc.why, live)
			}
			if got := len(u.Status.Inventory.Entries); got != tc.wantIDs {
				t.Errorf("%s: %d entries in the inventory, want %d", tc.why, got, tc.wantIDs)
			}
			if tc.wantGone {
				w.told("apps", "ConfigMap/"+w.namespace+"/old deleted")
			}
		})
	}
}

// TestPruneLeavesWhatOthersOwn: an object whose owner labels name somebody else is not ours to delete.
func TestPruneLeavesWhatOthersOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("old"), "apps/b.yaml": configMap("kept")})
	w.change("apps", func(u *kustomizev1.Kustomization) { u.Spec.Suspend = true })
	w.ask("apps") // it has seen that
	w.edit(w.configMap("old"), label("kustomize.toolkit.fluxcd.io/name", "another"))
	revision := w.commit(map[string]string{"apps/a.yaml": ""})
	w.fetched(revision)
	w.change("apps", func(u *kustomizev1.Kustomization) { u.Spec.Suspend = false })
	w.ready("apps", revision)
	if read(w, w.configMap("old")) == nil {
		t.Error("an object of another owner was deleted")
	}
	for _, event := range w.events("apps") {
		if strings.Contains(event, "deleted") {
			t.Errorf("people were told of a deletion: %s", event)
		}
	}
}
