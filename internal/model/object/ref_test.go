package object_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/model/object"
)

func TestIDRoundTrip(t *testing.T) {
	cases := map[string]struct {
		why string
		ref object.Ref
		id  string
	}{
		"Namespaced": {
			why: "the usual form",
			ref: object.Ref{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "web", Name: "shop"},
			id:  "web_shop_apps_Deployment",
		},
		"ClusterScoped": {
			why: "empty parts keep their place",
			ref: object.Ref{Version: "v1", Kind: "Namespace", Name: "web"},
			id:  "_web__Namespace",
		},
		"RBACName": {
			why: "colons of RBAC names cannot be in an identifier",
			ref: object.Ref{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole", Name: "system:web:reader"},
			id:  "_system__web__reader_rbac.authorization.k8s.io_ClusterRole",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.ref.ID(); got != tc.id {
				t.Errorf("%s: ID() = %q, want %q", tc.why, got, tc.id)
			}
			back, err := object.ParseID(tc.id, tc.ref.Version)
			if err != nil {
				t.Fatalf("%s: ParseID: %v", tc.why, err)
			}
			if diff := cmp.Diff(tc.ref, back); diff != "" {
				t.Errorf("%s: ParseID (-want +got):\n%s", tc.why, diff)
			}
		})
	}
}

func TestParseIDRefuses(t *testing.T) {
	for name, id := range map[string]string{
		"Empty": "", "NoParts": "web", "TwoParts": "a_b", "ThreeParts": "a_b_c", "NoKind": "ns_name_group_", "NoName": "ns__group_Kind",
	} {
		t.Run(name, func(t *testing.T) {
			if ref, err := object.ParseID(id, "v1"); err == nil {
				t.Errorf("ParseID(%q) = %v, want an error", id, ref)
			}
		})
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("web_shop_apps_Deployment", "v1")
	f.Add("_system__web__reader_rbac.authorization.k8s.io_ClusterRole", "v1")
	f.Add("___", "")
	f.Fuzz(func(t *testing.T, id, version string) {
		ref, err := object.ParseID(id, version)
		if err != nil {
			return
		}
		again, err := object.ParseID(ref.ID(), version)
		if err != nil || again != ref {
			t.Errorf("ParseID(%q) = %+v, whose own identifier %q reads as %+v, %v", id, ref, ref.ID(), again, err)
		}
	})
}

func TestSort(t *testing.T) {
	kinds := []string{"ValidatingWebhookConfiguration", "Deployment", "Foo", "Namespace", "Secret", "CustomResourceDefinition", "Service"}
	objects := make([]object.Object, len(kinds))
	for i, kind := range kinds {
		objects[i].Kind = kind
	}
	object.Sort(objects)
	got := make([]string, len(objects))
	for i, one := range objects {
		got[i] = one.Kind
	}
	want := []string{"CustomResourceDefinition", "Namespace", "Secret", "Service", "Deployment", "Foo", "ValidatingWebhookConfiguration"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order of writing (-want +got):\n%s", diff)
	}
}
