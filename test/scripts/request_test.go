package scripts_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/cli"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
)

// TestRequestsAreFluxs checks that what reconcile, suspend and resume write belongs to the field
// manager of Flux's command line, so that a controller takes it for what it is.
func TestRequestsAreFluxs(t *testing.T) {
	cluster := connect(t)
	namespace := clustertest.Namespace(t)
	if err := cluster.apply(namespace, strings.ReplaceAll(unit, "NAME", "apps")); err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, clustertest.Kubeconfig(t), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		std := cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: os.Stderr}
		if code := cli.Main(t.Context(), std, append(args, "-n", namespace, "--kubeconfig", kubeconfig)); code != 0 {
			t.Fatalf("%v: exit code %d", args, code)
		}
	}
	run("reconcile", "unit", "apps", "--wait=false")
	run("suspend", "unit", "apps")
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("kustomize.toolkit.fluxcd.io/v1")
	u.SetKind("Kustomization")
	if err := cluster.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "apps"}, u); err != nil {
		t.Fatal(err)
	}
	fields := ""
	for _, entry := range u.GetManagedFields() {
		if entry.Manager == "flux" {
			fields += entry.FieldsV1.GetRawString()
		}
	}
	for _, want := range []string{meta.ReconcileRequestAnnotation, "f:suspend"} {
		if !strings.Contains(fields, want) {
			t.Errorf("%s is not a field of manager flux: %s", want, fields)
		}
	}
}
