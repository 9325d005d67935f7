package history

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FuzzUnpack: whatever a Secret holds, reading it ends in objects or in an error.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd})
	f.Add([]byte(`{"object":{}}`))
	f.Fuzz(func(t *testing.T, packed []byte) {
		objects, err := unpack(packed)
		if err != nil && objects != nil {
			t.Error("an error comes with objects")
		}
		for _, one := range objects {
			if one.Name == "" || one.Kind == "" {
				t.Error("an object has no name or kind")
			}
		}
	})
}

// FuzzDecode: whatever the annotations of a Secret say.
func FuzzDecode(f *testing.F) {
	f.Add("Kustomization/a/b", `{"number":1}`)
	f.Add("a//", `{`)
	f.Fuzz(func(t *testing.T, unit, state string) {
		kind, owner, one, err := Decode(&metav1.ObjectMeta{Annotations: map[string]string{AnnotationUnit: unit, AnnotationRelease: state}})
		if err == nil && (kind == "" || owner.Name == "" || owner.Namespace == "" || one.Number < 1) {
			t.Errorf("%q %q is read as %s %s %d", unit, state, kind, owner, one.Number)
		}
	})
}
