package preview_test

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/cli/preview"
	"holdfast.dev/holdfast/internal/stage/decrypt"
	"holdfast.dev/holdfast/internal/stage/decrypt/sopstest"
	"holdfast.dev/holdfast/internal/stage/render"
)

// folderOf writes files into a folder and opens it.
func folderOf(t *testing.T, files map[string]string) *preview.Folder {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	folder, err := preview.OpenFolder(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	return folder
}

// TestEncryptedSecrets: with a key at hand, what is encrypted is decrypted, counts as a source of
// variables, and is shown only to those who ask.
func TestEncryptedSecrets(t *testing.T) {
	decrypt.Quiet()
	key := sopstest.Age(t)
	unit := "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: NAME, namespace: flux-system}\nspec:\n  path: NAME\n  prune: true\n  interval: 1h\n  sourceRef: {kind: GitRepository, name: flux-system}\n"
	files := folderOf(t, map[string]string{
		"root/vars.yaml":  strings.ReplaceAll(unit, "NAME", "vars") + "  decryption: {provider: sops}\n",
		"root/apps.yaml":  strings.ReplaceAll(unit, "NAME", "apps") + "  dependsOn: [{name: vars}]\n  postBuild: {substituteFrom: [{kind: Secret, name: vars}]}\n",
		"vars/vars.yaml":  sopstest.Encrypt(t, sopstest.File{Format: "yaml", For: []sopstest.Key{key}, Regex: sopstest.Manifest, Plain: "apiVersion: v1\nkind: Secret\nmetadata:\n    name: vars\n    namespace: flux-system\nstringData:\n    color: canary-blue\n"}),
		"apps/apps.yaml":  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: apps, namespace: web}\ndata: {color: \"is ${color}\"}\n",
		"apps/other.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other, namespace: web}\ndata: {color: green}\n",
	})
	ring, err := decrypt.NewKeyring(decrypt.Keys{Origin: "your keys", Data: map[string][]byte{"a.agekey": []byte(key.Private)}}, decrypt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := decrypt.NewKeyring(decrypt.Keys{Origin: "your keys", Data: map[string][]byte{"a.agekey": []byte(sopstest.Age(t).Private)}}, decrypt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	canary := base64.StdEncoding.EncodeToString([]byte("canary-blue"))
	cases := map[string]struct {
		why         string
		opener      render.Opener
		show        bool
		shown       bool
		wantFinding string
	}{
		"NoKey":    {why: "without a key it is as it was", wantFinding: "is encrypted"},
		"OtherKey": {why: "and with the key of others, too", opener: other, wantFinding: "is encrypted"},
		"Hidden":   {why: "it is opened and not shown", opener: ring},
		"Shown":    {why: "it is shown to those who ask", opener: ring, show: true, shown: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			result, err := preview.Build(context.Background(), preview.Options{
				Tree: files, Path: "root", Renderer: render.New(render.Options{}), Opener: c.opener, ShowSecrets: c.show,
			})
			if err != nil {
				t.Fatal(err)
			}
			var all strings.Builder
			for _, unit := range result.Units {
				for _, one := range unit.Objects {
					all.Write(one.JSON)
				}
			}
			var found strings.Builder
			for _, finding := range result.Findings {
				found.WriteString(finding.Text)
			}
			if (c.wantFinding == "") != (found.Len() == 0) || !strings.Contains(found.String(), c.wantFinding) {
				t.Errorf("%s: found %q", c.why, found.String())
			}
			for _, form := range []string{canary, "is canary-blue"} { // in the Secret, and where the variable took it
				if c.shown != strings.Contains(all.String(), form) {
					t.Errorf("%s: %s is shown: %t, in %s", c.why, form, !c.shown, all.String())
				}
			}
		})
	}
}
