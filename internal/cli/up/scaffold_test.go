package up

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/examples"
	"holdfast.dev/holdfast/internal/secret/document"
	"holdfast.dev/holdfast/internal/secret/keyring"
)

// TestScaffold makes a demo, and another of the same name beside it: each environment has a key of its
// own that opens its secrets and no other's, and no key is replaced.
func TestScaffold(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	options := Options{Demo: true, Platform: examples.Platform(), Keys: keys}
	var repositories []origin
	for range 2 {
		options.Target = filepath.Join(t.TempDir(), "demo")
		made, err := find(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		again, err := find(t.Context(), options)
		if err != nil || again.created {
			t.Errorf("the second start made the demo anew, or failed: %v", err)
		}
		repositories = append(repositories, made)
	}
	var files []string
	for _, deliver := range repositories {
		for _, environment := range []string{"local", "dev", "prod"} {
			deliver.path = "clusters/" + environment
			found, err := keysFor(deliver, keys)
			if err != nil || len(found) != 1 {
				t.Fatalf("%s has %d keys, want one of its own: %v", environment, len(found), err)
			}
			for name := range found {
				files = append(files, name)
				checkOpens(t, deliver.repository.Dir(), environment, filepath.Join(keys, name))
			}
		}
	}
	slices.Sort(files)
	want := []string{
		"demo-dev-2.agekey", "demo-dev.agekey", "demo-local-2.agekey", "demo-local.agekey", "demo-prod-2.agekey", "demo-prod.agekey",
	}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("files of keys differ (-want +got):\n%s", diff)
	}
}

// checkOpens checks that a key opens the secrets of one environment, and those of no other.
func checkOpens(t *testing.T, dir, environment, key string) {
	t.Helper()
	ring, err := keyring.Load(keyring.Options{Files: []string{key}})
	if err != nil {
		t.Fatal(err)
	}
	sealed := 0
	err = filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.Contains(name, string(filepath.Separator)+".git"+string(filepath.Separator)) {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(content, []byte("ENC[")) {
			if bytes.Contains(content, []byte("word: "+placeholder)) {
				t.Errorf("%s still has a placeholder", name)
			}
			return err
		}
		file, err := document.Read(name, content, nil)
		if err != nil {
			return err
		}
		mine := strings.HasPrefix(name, filepath.Join(dir, "clusters", environment)+string(filepath.Separator))
		if got := file.Opens(ring); got != mine {
			t.Errorf("the key of %s opens %s: %t, want %t", environment, name, got, mine)
		}
		sealed++
		return nil
	})
	if err != nil || sealed != 6 {
		t.Errorf("%d encrypted files, want two in each environment: %v", sealed, err)
	}
}

func TestScaffoldLeavesNoKeysBehind(t *testing.T) {
	keys, full := filepath.Join(t.TempDir(), "keys"), t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	inside := t.TempDir()
	cases := map[string]struct {
		why, target, keys, wantErr string
	}{
		"Full":    {why: "a folder with files is refused", target: full, keys: keys, wantErr: "not empty"},
		"Inside":  {why: "a key in the repository would be committed", target: inside, keys: filepath.Join(inside, "keys"), wantErr: "would lie in it"},
		"Nowhere": {why: "it says what is missing", target: t.TempDir(), wantErr: "set HOME"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := find(t.Context(), Options{Demo: true, Target: tc.target, Platform: examples.Platform(), Keys: tc.keys})
			if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("%s: error %v, want one that says %q", tc.why, err, tc.wantErr)
			}
			if left, _ := filepath.Glob(filepath.Join(tc.keys, "*.agekey")); tc.keys != "" && len(left) > 0 {
				t.Errorf("%s: keys are left: %v", tc.why, left)
			}
		})
	}
}
