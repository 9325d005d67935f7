package fleet

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/model/object"
)

func read(t *testing.T, text string) Resource {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	kind, known := KindOf(u.GroupVersionKind().GroupKind())
	if !known {
		t.Fatalf("unknown kind %s", u.GetKind())
	}
	return NewResource(kind, u)
}

const (
	kustomization = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: a, namespace: ns, generation: 2}\n"
	release       = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: a, namespace: ns}\n"
)

func TestSource(t *testing.T) {
	cases := map[string]struct {
		why, text string
		want      Reference
		found     bool
	}{
		"Own":      {"without a namespace it is the unit's own", kustomization + "spec: {sourceRef: {kind: GitRepository, name: s}}", Reference{Kind: "GitRepository", Name: "s", Namespace: "ns"}, true},
		"Other":    {"a source may be elsewhere", kustomization + "spec: {sourceRef: {kind: Bucket, name: s, namespace: other}}", Reference{Kind: "Bucket", Name: "s", Namespace: "other"}, true},
		"ChartRef": {"a release may name its chart", release + "spec: {chartRef: {kind: OCIRepository, name: s}}", Reference{Kind: "OCIRepository", Name: "s", Namespace: "ns"}, true},
		"Chart":    {"or the repository of its chart", release + "spec: {chart: {spec: {chart: c, sourceRef: {kind: HelmRepository, name: s}}}}", Reference{Kind: "HelmRepository", Name: "s", Namespace: "ns"}, true},
		"None":     {"a broken object names none", release + "spec: {chart: text}", Reference{}, false},
	}
	for name, c := range cases {
		got, found := read(t, c.text).Source()
		if diff := cmp.Diff(c.want, got); diff != "" || found != c.found {
			t.Errorf("%s: %s: %t (-want +got):\n%s", name, c.why, found, diff)
		}
	}
}

func TestFacts(t *testing.T) {
	applied := read(t, kustomization+`
spec: {suspend: true, path: ./x}
status:
  lastAppliedRevision: main@sha1:1
  lastAttemptedRevision: main@sha1:2
  inventory: {entries: [{id: ns_b_apps_Deployment, v: v1}, {id: _ns__Namespace, v: v1}]}
`)
	owned, err := applied.Owned()
	want := []object.Ref{
		{Version: "v1", Kind: "Namespace", Name: "ns"},
		{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "ns", Name: "b"},
	}
	if diff := cmp.Diff(want, owned); diff != "" || err != nil {
		t.Errorf("owned objects: %v (-want +got):\n%s", err, diff)
	}
	if applied.Revision() != "main@sha1:1" || !applied.Spec.Suspend || applied.Ready().Status != metav1.ConditionUnknown {
		t.Errorf("facts: %q, %t, %v", applied.Revision(), applied.Spec.Suspend, applied.Ready())
	}
	bad := read(t, kustomization+"status: {inventory: {entries: [{id: nonsense, v: v1}]}}")
	if _, err := bad.Owned(); err == nil {
		t.Error("an inventory that cannot be read is an error")
	}
	unreadable := read(t, kustomization+"status: {observedGeneration: [1]}")
	if unreadable.Ready().Reason != "Unreadable" {
		t.Errorf("an object of the wrong shape says so, and hides no other: %v", unreadable.Ready())
	}
}

func TestSettled(t *testing.T) {
	cases := map[string]struct {
		why, status string
		want        bool
	}{
		"Ready":      {"a verdict", "{conditions: [{type: Ready, status: 'True', observedGeneration: 2}]}", true},
		"Failed":     {"a failure is a verdict, too", "{conditions: [{type: Ready, status: 'False', reason: BuildFailed, observedGeneration: 2}]}", true},
		"Old":        {"of the spec before", "{conditions: [{type: Ready, status: 'True', observedGeneration: 1}]}", false},
		"Busy":       {"none yet", "{conditions: [{type: Ready, status: Unknown, observedGeneration: 2}]}", false},
		"Dependency": {"not its turn yet", "{conditions: [{type: Ready, status: 'False', reason: DependencyNotReady, observedGeneration: 2}]}", false},
		"New":        {"nobody has looked yet", "{observedGeneration: -1}", false},
	}
	for name, c := range cases {
		if got := Settled(read(t, kustomization+"status: "+c.status)); got != c.want {
			t.Errorf("%s: got %t: %s", name, got, c.why)
		}
	}
	handled := read(t, kustomization+"status: {lastHandledReconcileAt: x, conditions: [{type: Ready, status: 'True', observedGeneration: 2}]}")
	if !Handled("x")(handled) || Handled("y")(handled) {
		t.Error("a verdict counts only for the request that led to it")
	}
}

func TestKindsNamed(t *testing.T) {
	for word, want := range map[string]int{"all": 9, "sources": 6, "receivers": 1, "unit": 2, "hr": 1, "HelmRelease": 1, "ocirepo": 1, "helmcharts.source.toolkit.fluxcd.io": 1, "alerts": 1, "Provider": 1, "": 0, "pod": 0} {
		if got := len(KindsNamed(word)); got != want {
			t.Errorf("%q stands for %d kinds, want %d", word, got, want)
		}
	}
}
