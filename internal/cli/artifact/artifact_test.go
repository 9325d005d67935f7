package artifact_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/artifact"
	"holdfast.dev/holdfast/internal/stage/source/oci/registrytest"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, make func(io.Writer) *cobra.Command, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	command := make(&out)
	command.SetArgs(args)
	command.SetErr(io.Discard)
	command.SilenceUsage, command.SilenceErrors = true, true
	err := command.ExecuteContext(t.Context())
	return out.String(), err
}

func TestPushTagPull(t *testing.T) {
	server := registrytest.Serve(t, registrytest.Options{Username: "me", Password: "canary"})
	folder := t.TempDir()
	for name, content := range map[string]string{"apps/web.yaml": "kind: Deployment\n", "secret.txt": "x", "README.md": "hello"} {
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o750))
		check(t, os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600))
	}
	check(t, os.Symlink("/etc/passwd", filepath.Join(folder, "link")))
	push := func() string {
		out, err := run(t, artifact.NewPush, server.URL("team/app")+":1.0.0", "--path", folder, "--source", "https://example.com/app", "--revision", "main@sha1:1",
			"--ignore-paths", "secret.txt", "--annotations", "team=web", "--reproducible", "--creds", "me:canary")
		check(t, err)
		return out
	}
	if first, second := push(), push(); first != second || !strings.HasPrefix(first, "pushed "+server.Host+"/team/app:1.0.0@sha256:") {
		t.Errorf("pushing says %q and then %q", first, second)
	}
	image, err := remote.Image(server.Reference(t, "team/app", "1.0.0"), server.Remote()...)
	check(t, err)
	manifest, err := image.Manifest()
	check(t, err)
	want := map[string]string{
		"org.opencontainers.image.source": "https://example.com/app", "org.opencontainers.image.revision": "main@sha1:1",
		"org.opencontainers.image.created": "1970-01-01T00:00:00Z", "team": "web",
	}
	if diff := cmp.Diff(want, manifest.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if manifest.Config.MediaType != registrytest.ConfigType || manifest.Layers[0].MediaType != registrytest.LayerType {
		t.Errorf("media types are %s, %s", manifest.Config.MediaType, manifest.Layers[0].MediaType)
	}

	_, err = run(t, artifact.NewTag, server.URL("team/app")+":1.0.0", "--tag", "latest", "--creds", "me:canary")
	check(t, err)
	target := filepath.Join(t.TempDir(), "out")
	out, err := run(t, artifact.NewPull, server.URL("team/app")+":latest", "--output", target, "--creds", "me:canary")
	check(t, err)
	if !strings.Contains(out, "2 files") || !strings.Contains(out, "main@sha1:1") {
		t.Errorf("pulling says %q", out)
	}
	var names []string
	check(t, filepath.WalkDir(target, func(path string, file os.DirEntry, err error) error {
		if err == nil && !file.IsDir() {
			names = append(names, strings.TrimPrefix(path, target+string(filepath.Separator)))
		}
		return err
	}))
	if diff := cmp.Diff([]string{"README.md", "apps/web.yaml"}, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestPullStaysInItsFolder(t *testing.T) {
	server := registrytest.Serve(t, registrytest.Options{})
	server.Push(t, "team/app", "latest", registrytest.Artifact{Files: map[string]string{"out/file": "x"}})
	outside, target := t.TempDir(), t.TempDir()
	check(t, os.Symlink(outside, filepath.Join(target, "out")))
	if _, err := run(t, artifact.NewPull, server.URL("team/app")+":latest", "--output", target); err == nil {
		t.Error("a link in the folder was followed")
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("outside there is %v", left)
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{"ghcr.io/org/app:1": "has to begin with oci://", "oci://:x": "has the form"} {
		if _, err := run(t, artifact.NewTag, address, "--tag", "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want %q", address, err, want)
		}
	}
}
