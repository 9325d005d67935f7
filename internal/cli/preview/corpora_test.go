package preview

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/stage/render"
)

// corpora returns the folder of real repositories, or skips the test.
func corpora(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{os.Getenv("HOLDFAST_CORPORA"), "../../../../shared/corpora"} {
		if _, err := os.Stat(filepath.Join(dir, "README.md")); dir != "" && err == nil {
			return dir
		}
	}
	t.Skip("the real repositories are neither in HOLDFAST_CORPORA nor in ../shared/corpora")
	return ""
}

// TestRealRepositories builds repositories that others run in production, and compares with what an
// independent renderer made of them.
func TestRealRepositories(t *testing.T) {
	cases := map[string]struct {
		why, repository, path string
		absent                []string // files that the collection of repositories leaves out
		objects               int
		digest                string // of the sorted references; empty where it is not known
	}{
		"HomeOps": {
			why:        "79 units, two levels of patches, components, a Secret that exists at run time only",
			repository: "onedr0p-home-ops", path: "kubernetes/flux/cluster",
			absent: []string{
				"kubernetes/apps/default/sonarr/app/resources/refresh-series.sh",
				"kubernetes/apps/default/sonarr/app/resources/tag-resolution.sh",
			},
			objects: 519, digest: "0cb10bb0ee4e7aa4",
		},
		"Staging":    {why: "Flux's own example", repository: "flux2-kustomize-helm-example", path: "clusters/staging", objects: 13},
		"Production": {why: "the same objects with other content", repository: "flux2-kustomize-helm-example", path: "clusters/production", objects: 13},
		"Monitoring": {why: "generators with name references of their own", repository: "flux2-monitoring-example", path: "clusters/test", objects: 11},
	}
	dir := corpora(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(filepath.Join(dir, c.repository))); err != nil {
				t.Fatal(err)
			}
			for _, absent := range c.absent {
				path := filepath.Join(copied, absent)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			folder, err := OpenFolder(t.Context(), copied)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = folder.Close() }()
			result, err := Build(t.Context(), Options{Tree: folder, Path: c.path, AllowMissing: true, Renderer: render.New(render.Options{})})
			if err != nil {
				t.Fatal(err)
			}
			for _, finding := range result.Findings {
				t.Errorf("%s: %s: %s", c.why, finding.Unit, finding.Text)
			}
			count, digest := summary(result)
			if count != c.objects || c.digest != "" && digest != c.digest {
				t.Errorf("%s: %d objects with digest %s, want %d with %s", c.why, count, digest, c.objects, c.digest)
			}
		})
	}
}

// summary counts the objects and digests their references, as the collection's README does.
func summary(result Result) (count int, digest string) {
	var lines []string
	for _, unit := range result.Units {
		for _, o := range unit.Objects {
			lines = append(lines, strings.Join([]string{o.GVK().GroupVersion().String(), o.Kind, o.Namespace, o.Name}, "/"))
		}
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return len(lines), hex.EncodeToString(sum[:8])
}
