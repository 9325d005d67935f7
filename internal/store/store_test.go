package store_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/store"
)

// files is the content of a tree; a path that ends in "*" is executable, without the star.
type files map[string]string

func (f files) snapshot(revision string) store.Snapshot {
	snapshot := store.Snapshot{Revision: revision}
	for name, content := range f {
		mode := fs.FileMode(0o644)
		if strings.HasSuffix(name, "*") {
			mode = 0o755
		}
		sum := sha256.Sum256([]byte(content))
		snapshot.Entries = append(snapshot.Entries, tree.Entry{
			Path: strings.TrimSuffix(name, "*"), Hash: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(content)), Mode: mode,
		})
	}
	snapshot.Open = func(entry tree.Entry) (io.ReadCloser, error) {
		content, found := f[entry.Path]
		if !found {
			content = f[entry.Path+"*"]
		}
		return io.NopCloser(strings.NewReader(content)), nil
	}
	return snapshot
}

func open(t testing.TB, dir string, options store.Options) *store.Store {
	t.Helper()
	opened, err := store.Open(dir, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return opened
}

func put(t testing.TB, s *store.Store, snapshot store.Snapshot, previous *store.Tree) *store.Tree {
	t.Helper()
	stored, err := s.Put(context.Background(), snapshot, previous)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// contents reads a tree file by file, the way that a build does.
func contents(t testing.TB, stored tree.Tree) files {
	t.Helper()
	out := files{}
	for _, entry := range stored.Index().Entries() {
		content, err := stored.Read(entry.Path)
		if err != nil {
			t.Fatal(err)
		}
		name := entry.Path
		if entry.Mode == 0o755 {
			name += "*"
		}
		out[name] = string(content)
	}
	return out
}

var sample = files{
	"README.md":                           "# sample\n",
	"apps/web/deployment.yaml":            strings.Repeat("kind: Deployment\n", 200),
	"apps/web/empty":                      "",
	"apps/web/run.sh*":                    "#!/bin/sh\n",
	"infra/block.bin":                     strings.Repeat("x", 512),
	"infra/größe.yaml":                    "umlaut: true\n",
	strings.Repeat("long/", 60) + "f.yml": "deep: true\n",
}

func TestReadGivesWhatWasPut(t *testing.T) {
	stored := put(t, open(t, t.TempDir(), store.Options{}), sample.snapshot("main@sha1:1"), nil)
	if diff := cmp.Diff(sample, contents(t, stored)); diff != "" {
		t.Errorf("content differs (-want +got):\n%s", diff)
	}
	if got := stored.Revision(); got != "main@sha1:1" {
		t.Errorf("revision is %q", got)
	}
	if _, err := stored.Read("apps/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file gives %v, want fs.ErrNotExist", err)
	}
}

func TestArchiveIsPlainTarGzip(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, store.Options{})
	first := put(t, s, sample.snapshot("1"), nil)
	changed := files{"new.yaml": "new: true\n"}
	for name, content := range sample {
		changed[name] = content
	}
	stored := put(t, s, changed.snapshot("2"), first) // one with copied members
	archive := archiveOf(dir, stored)

	content, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	if got := digestOf(content); got != stored.Digest() || int64(len(content)) != stored.Size() {
		t.Errorf("digest and size on disk are %s and %d, tree says %s and %d", got, len(content), stored.Digest(), stored.Size())
	}
	if diff := cmp.Diff(changed, untar(t, content)); diff != "" {
		t.Errorf("archive/tar reads something else (-want +got):\n%s", diff)
	}

	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("no tar program here")
	}
	out := t.TempDir()
	if message, err := exec.Command("tar", "-xzf", archive, "-C", out).CombinedOutput(); err != nil {
		t.Fatalf("tar refuses the archive: %v\n%s", err, message)
	}
	for name, want := range changed {
		got, err := os.ReadFile(filepath.Join(out, strings.TrimSuffix(name, "*")))
		if err != nil || string(got) != want {
			t.Errorf("tar extracts %s as %q (%v)", name, got, err)
		}
	}
}

func untar(t *testing.T, content []byte) files {
	t.Helper()
	inflated, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	out, archive := files{}, tar.NewReader(inflated)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 || header.ModTime.Unix() != 0 || header.Typeflag != tar.TypeReg {
			t.Errorf("header of %s tells more than it should: %+v", header.Name, header)
		}
		name := header.Name
		if header.Mode == 0o755 {
			name += "*"
		}
		out[name] = string(content)
	}
}

func TestDigestDependsOnNothingButTheFiles(t *testing.T) {
	want := put(t, open(t, t.TempDir(), store.Options{}), sample.snapshot("1"), nil).Digest()
	cases := map[string]struct {
		why      string
		previous files
	}{
		"Same":    {"everything is copied", sample},
		"Subset":  {"gaps in the previous tree", files{"README.md": "# sample\n", "infra/block.bin": strings.Repeat("x", 512)}},
		"Changed": {"same path with other content", files{"README.md": "other", "apps/web/run.sh": "#!/bin/sh\n"}},
		"Larger":  {"files that are gone", files{"README.md": "# sample\n", "a": "a", "zz": "z", "infra/z": "z"}},
		"Empty":   {"nothing to copy", files{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir(), store.Options{})
			previous := put(t, s, c.previous.snapshot("0"), nil)
			stored := put(t, s, sample.snapshot("1"), previous)
			if stored.Digest() != want {
				t.Errorf("digest tells of the history (%s): %s, want %s", c.why, stored.Digest(), want)
			}
			if diff := cmp.Diff(sample, contents(t, stored)); diff != "" {
				t.Errorf("content differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyChangedFilesAreRead(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	previous := put(t, s, sample.snapshot("1"), nil)
	changed := files{}
	for name, content := range sample {
		changed[name] = content
	}
	changed["README.md"] = "# changed\n"
	changed["apps/web/run.sh"] = changed["apps/web/run.sh*"] // loses its mode
	delete(changed, "apps/web/run.sh*")

	snapshot, asked := changed.snapshot("2"), []string{}
	read := snapshot.Open
	snapshot.Open = func(entry tree.Entry) (io.ReadCloser, error) {
		asked = append(asked, entry.Path)
		return read(entry)
	}
	put(t, s, snapshot, previous)
	if diff := cmp.Diff([]string{"README.md", "apps/web/run.sh"}, asked); diff != "" {
		t.Errorf("files read differ (-want +got):\n%s", diff)
	}
}

func TestEqualContentIsStoredOnceUnderManyRevisions(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, store.Options{})
	first := put(t, s, sample.snapshot("main@sha1:1"), nil)
	second := put(t, s, sample.snapshot("main@sha1:2"), first)
	third := put(t, s, sample.snapshot("main@sha1:3"), nil)
	if first.Digest() != second.Digest() || first.Digest() != third.Digest() {
		t.Error("equal files have different digests")
	}
	if got := []string{first.Revision(), second.Revision(), third.Revision()}; got[0] == got[1] || got[1] == got[2] {
		t.Errorf("revisions are %v", got)
	}
	if got, _ := filepath.Glob(filepath.Join(dir, "trees", "*.tar.gz")); len(got) != 1 {
		t.Errorf("archives on disk: %v, want one", got)
	}
	if got, _ := filepath.Glob(filepath.Join(dir, "scratch", "*")); len(got) != 0 {
		t.Errorf("scratch files left: %v", got)
	}
}

func TestPutRefuses(t *testing.T) {
	entry := func(path string, size int64) tree.Entry {
		return tree.Entry{Path: path, Hash: "sha256:x", Size: size, Mode: 0o644}
	}
	cases := map[string]struct {
		why     string
		entries []tree.Entry
		want    string
	}{
		"Parent":      {"climbs out of the root", []tree.Entry{entry("../etc/passwd", 4)}, "not clean and relative"},
		"Absolute":    {"is not relative", []tree.Entry{entry("/etc/passwd", 4)}, "not clean and relative"},
		"Unclean":     {"two names for one file", []tree.Entry{entry("a//b", 4)}, "not clean and relative"},
		"Empty":       {"no name", []tree.Entry{entry("", 4)}, "not clean and relative"},
		"Root":        {"the root is no file", []tree.Entry{entry(".", 4)}, "not clean and relative"},
		"FileAndDir":  {"cannot be extracted", []tree.Entry{entry("a", 4), entry("a/b", 4)}, "a file and a folder"},
		"Null":        {"tar has no such names", []tree.Entry{entry("a\x00b", 4)}, "invalid"},
		"TooShort":    {"content ends early", []tree.Entry{entry("a", 5)}, "ends after 4 of 5 bytes"},
		"TooLong":     {"content does not end", []tree.Entry{entry("a", 3)}, "longer than the 3 bytes"},
		"NegativeLen": {"size from outside", []tree.Entry{entry("a", -1)}, "negative"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := open(t, dir, store.Options{}).Put(context.Background(), store.Snapshot{
				Entries: c.entries,
				Open:    func(tree.Entry) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("four")), nil },
			}, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error is %v, want %q", c.why, err, c.want)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(left) != 0 {
				t.Errorf("files left behind: %v", left)
			}
		})
	}
}

func TestPutObeysItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := open(t, t.TempDir(), store.Options{}).Put(ctx, sample.snapshot("1"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
}

func TestTreesSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir, store.Options{})
	stored := put(t, first, sample.snapshot("main@sha1:1"), nil)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := open(t, dir, store.Options{}).Get(stored.Digest())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample, contents(t, again)); diff != "" {
		t.Errorf("content differs (-want +got):\n%s", diff)
	}
	if again.Revision() != "main@sha1:1" {
		t.Errorf("revision is %q", again.Revision())
	}
}

func TestDamagedTreesDoNotExist(t *testing.T) {
	flip := func(t *testing.T, name string) {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		content[len(content)/2] ^= 1
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cases := map[string]struct {
		why    string
		damage func(t *testing.T, archive, index string)
	}{
		"ArchiveBitFlip":   {"a disk error", func(t *testing.T, archive, _ string) { flip(t, archive) }},
		"ArchiveTruncated": {"power was lost", func(t *testing.T, archive, _ string) { check(t, os.Truncate(archive, 10)) }},
		"ArchiveGone":      {"somebody cleaned up", func(t *testing.T, archive, _ string) { check(t, os.Remove(archive)) }},
		"IndexBitFlip":     {"a wrong offset would give a wrong file", func(t *testing.T, _, index string) { flip(t, index) }},
		"IndexEmpty":       {"power was lost", func(t *testing.T, _, index string) { check(t, os.Truncate(index, 0)) }},
		"IndexGone":        {"crash between archive and index", func(t *testing.T, _, index string) { check(t, os.Remove(index)) }},
	}
	for name, c := range cases {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/restart=%t", name, restart), func(t *testing.T) {
				dir := t.TempDir()
				before := open(t, dir, store.Options{})
				digest := put(t, before, sample.snapshot("1"), nil).Digest()
				check(t, before.Close())
				var s *store.Store
				if !restart {
					s = open(t, dir, store.Options{})
				}
				archive := filepath.Join(dir, "trees", strings.TrimPrefix(digest, "sha256:")+".tar.gz")
				c.damage(t, archive, strings.TrimSuffix(archive, ".tar.gz")+".json")
				if restart {
					s = open(t, dir, store.Options{})
				}
				if _, err := s.Get(digest); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s: error is %v, want fs.ErrNotExist", c.why, err)
				}
				if left, _ := filepath.Glob(filepath.Join(dir, "trees", "*")); len(left) != 0 {
					t.Errorf("damaged files stay: %v", left)
				}
				if again := put(t, s, sample.snapshot("1"), nil); again.Digest() != digest {
					t.Errorf("stored again as %s, want %s", again.Digest(), digest)
				}
			})
		}
	}
}

func TestOpenRemovesHalfWrittenFiles(t *testing.T) {
	dir := t.TempDir()
	check(t, open(t, dir, store.Options{}).Close())
	for _, name := range []string{"scratch/half", "trees/abc.tar.gz", "trees/" + strings.Repeat("0", 64) + ".json", "trees/strange"} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600))
	}
	open(t, dir, store.Options{})
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(left) != 0 {
		t.Errorf("files left: %v", left)
	}
}

func TestHeldTreeOutlivesItsFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, store.Options{})
	stored := put(t, s, sample.snapshot("1"), nil)
	check(t, os.Remove(archiveOf(dir, stored)))
	check(t, s.Close())
	runtime.GC()
	if diff := cmp.Diff(sample, contents(t, stored)); diff != "" {
		t.Errorf("content differs (-want +got):\n%s", diff)
	}
}

func TestAliasFindsForeignArchives(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, store.Options{})
	stored := put(t, s, sample.snapshot("1"), nil)
	foreign := "sha512:" + strings.Repeat("ab", 64)
	check(t, s.Alias(foreign, stored.Digest()))
	check(t, s.Alias(strings.Repeat("cd", 32), stored.Digest())) // without an algorithm
	check(t, s.Close())

	s = open(t, dir, store.Options{})
	for _, digest := range []string{foreign, "sha256:" + strings.Repeat("cd", 32), strings.Repeat("cd", 32)} {
		if got, err := s.Get(digest); err != nil || got.Digest() != stored.Digest() {
			t.Errorf("Get(%s) gives %v, %v", digest, got, err)
		}
	}
	for _, bad := range []string{"", "md5:00", "sha256:../../etc", "sha256:" + strings.Repeat("AB", 32)} {
		if err := s.Alias(bad, stored.Digest()); err == nil {
			t.Errorf("digest %q is accepted", bad)
		}
		if _, err := s.Get(bad); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Get(%q) gives %v, want fs.ErrNotExist", bad, err)
		}
	}
	if err := s.Alias(foreign, "sha256:"+strings.Repeat("0", 64)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an alias to nothing gives %v, want fs.ErrNotExist", err)
	}
}

func archiveOf(dir string, stored *store.Tree) string {
	return filepath.Join(dir, "trees", strings.TrimPrefix(stored.Digest(), "sha256:")+".tar.gz")
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPutFileServesWhatItGot(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, store.Options{})
	digest, size, err := s.PutFile(t.Context(), "1", strings.NewReader("as it is"))
	check(t, err)
	path := store.PathOf("OCIRepository", "flux-system", "platform", "1")
	check(t, s.Publish(path, digest))
	if _, err := s.Get(digest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file is opened as a tree: %v", err)
	}
	stored := put(t, s, sample.snapshot("1"), nil)
	check(t, s.Alias(digest, stored.Digest()))
	if got, err := s.Get(digest); err != nil || got.Digest() != stored.Digest() {
		t.Errorf("the alias of a file leads to %v, %v", got, err)
	}
	check(t, s.Close())
	again := open(t, dir, store.Options{})
	check(t, again.Check(digest))
	recorder := httptest.NewRecorder()
	again.Handler().ServeHTTP(recorder, httptest.NewRequest("GET", "/"+path, nil))
	if recorder.Body.String() != "as it is" || int64(recorder.Body.Len()) != size {
		t.Errorf("after a restart %q is served", recorder.Body)
	}
}
