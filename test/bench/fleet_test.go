package bench

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/localrepo"
)

// shape is what a fleet consists of.
type shape struct {
	name    string
	units   int
	objects int // in each unit
	stuck   int // units that never become healthy
	apps    bool
}

// fleet is a repository with units, served over HTTP.
type fleet struct {
	shape
	namespace string
	dir       string
	url       string
}

// newFleet makes the repository: a folder for each unit, a file for each object.
func newFleet(b *testing.B, s shape, namespace string) *fleet {
	b.Helper()
	f := &fleet{shape: s, namespace: namespace, dir: filepath.Join(b.TempDir(), "repo")}
	files := fstest.MapFS{}
	for unit := range s.units {
		for i := range s.objects {
			files[f.file(unit, i)] = &fstest.MapFile{Data: []byte(f.manifest(unit, i, "first")), Mode: 0o644}
		}
	}
	repository, err := localrepo.Create(f.dir, files, "first")
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(repository.Handler())
	b.Cleanup(server.Close)
	f.url = server.URL + "/fleet"
	return f
}

func (f *fleet) file(unit, i int) string { return fmt.Sprintf("units/%04d/object-%04d.yaml", unit, i) }

func (f *fleet) object(unit, i int) string { return fmt.Sprintf("object-%04d-%04d", unit, i) }

// manifest is one object: a ConfigMap, or a part of an application as in Flux's own benchmark (a
// ServiceAccount, a Service, a ConfigMap and a Deployment without replicas).
func (f *fleet) manifest(unit, i int, value string) string {
	name := f.object(unit, i)
	if !f.apps || i == 0 {
		return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n  namespace: %s\ndata:\n  value: %s\n  padding: |\n%s",
			name, f.namespace, value, padding)
	}
	switch i {
	case 1:
		return fmt.Sprintf("apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: %s\n  namespace: %s\n", name, f.namespace)
	case 2:
		return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata:\n  name: s%s\n  namespace: %s\nspec:\n  selector: {app: %s}\n  ports: [{port: 80, name: http}]\n", name, f.namespace, name)
	default:
		replicas, selector := 0, ""
		if unit < f.stuck {
			replicas, selector = 1, "\n      nodeSelector: {kubernetes.io/hostname: nowhere}"
		}
		return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
  namespace: %[2]s
spec:
  replicas: %[3]d
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:%[4]s
      containers:
      - name: app
        image: registry.invalid/app:1.0
        ports: [{containerPort: 80, name: http}]
`, name, f.namespace, replicas, selector)
	}
}

const padding = "    some lines of configuration\n    as applications have them\n    in their ConfigMaps\n"

// commit changes one object and returns the new revision.
func (f *fleet) commit(b *testing.B, unit, i int, value string) string {
	b.Helper()
	return f.commitFiles(b, value, map[string]string{f.file(unit, i): f.manifest(unit, i, value)})
}

// commitFiles writes files and returns the new revision.
func (f *fleet) commitFiles(b *testing.B, message string, files map[string]string) string {
	b.Helper()
	opened, err := git.PlainOpen(f.dir)
	if err != nil {
		b.Fatal(err)
	}
	work, err := opened.Worktree()
	if err != nil {
		b.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
		if _, err := work.Add(name); err != nil {
			b.Fatal(err)
		}
	}
	hash, err := work.Commit(message, &git.CommitOptions{Author: &object.Signature{Name: "bench", Email: "bench@localhost", When: time.Now()}})
	if err != nil {
		b.Fatal(err)
	}
	return "main@sha1:" + hash.String()
}

func (f *fleet) source() *sourcev1.GitRepository {
	return &sourcev1.GitRepository{
		ObjectMeta: metav1.ObjectMeta{Name: "fleet", Namespace: f.namespace},
		Spec: sourcev1.GitRepositorySpec{
			URL: f.url, Interval: metav1.Duration{Duration: 10 * time.Minute},
			Reference: &sourcev1.GitRepositoryRef{Branch: "main"},
		},
	}
}

func (f *fleet) unit(i int) *kustomizev1.Kustomization {
	return &kustomizev1.Kustomization{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("unit-%04d", i), Namespace: f.namespace},
		Spec: kustomizev1.KustomizationSpec{
			Interval: metav1.Duration{Duration: 10 * time.Minute}, Prune: true, Wait: true,
			Timeout:   &metav1.Duration{Duration: 2 * time.Minute},
			Path:      fmt.Sprintf("./units/%04d", i),
			SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "fleet"},
		},
	}
}

// create makes the source and all units.
func (f *fleet) create(ctx context.Context, b *testing.B, c *cluster) {
	b.Helper()
	if err := c.api.Create(ctx, f.source()); err != nil {
		b.Fatal(err)
	}
	c.parallel(b, f.units, func(i int) error { return c.api.Create(ctx, f.unit(i)) })
}
