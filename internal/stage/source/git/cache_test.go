package git_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
	"holdfast.dev/holdfast/internal/stage/source/git/pack"
)

func TestDamagedCacheIsReplaced(t *testing.T) {
	damages := map[string]func(t *testing.T, dir string){
		"PackCut": func(t *testing.T, dir string) {
			alter(t, dir, "objects/pack/*.pack", func(b []byte) []byte { return b[:len(b)/2] })
		},
		"PackFlipped": func(t *testing.T, dir string) { alter(t, dir, "objects/pack/*.pack", flipAll) },
		"PackGone":    func(t *testing.T, dir string) { remove(t, dir, "objects/pack/*.pack") },
		"IndexCut": func(t *testing.T, dir string) {
			alter(t, dir, "objects/pack/*.idx", func(b []byte) []byte { return b[:100] })
		},
		"IndexFlipped": func(t *testing.T, dir string) { alter(t, dir, "objects/pack/*.idx", flipAll) },
		"IndexGone":    func(t *testing.T, dir string) { remove(t, dir, "objects/pack/*.idx") },
		"IndexEmpty": func(t *testing.T, dir string) {
			alter(t, dir, "objects/pack/*.idx", func([]byte) []byte { return nil })
		},
		"TipsGarbage": func(t *testing.T, dir string) {
			alter(t, dir, "packed-refs", func([]byte) []byte { return []byte("what\n") })
		},
		"TipsGone": func(t *testing.T, dir string) { remove(t, dir, "packed-refs") },
		"AllGone":  func(t *testing.T, dir string) { remove(t, dir, "*") },
	}
	for name, damage := range damages {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/restarted=%v", name, restarted), func(t *testing.T) {
				server := gittest.Serve(t, gittest.Options{})
				repo := server.Repository(t, "r")
				repo.Commit(t, manyFiles(20))
				dir := t.TempDir()
				fetcher := git.New(git.Options{Dir: dir, MaxListingBytes: 1})
				fetch(t, fetcher, onBranch(repo.URL(), "main"))
				damage(t, generations(t, dir)[0])
				repo.Commit(t, map[string]string{"new": "1"})
				if restarted {
					fetcher = git.New(git.Options{Dir: dir})
				}
				got, err := tryFetch(t, fetcher, onBranch(repo.URL(), "main"))
				if errors.Is(err, pack.ErrCorrupt) { // noticed in a file's content: the next fetch repairs
					got, err = tryFetch(t, fetcher, onBranch(repo.URL(), "main"))
				}
				if err != nil || len(got.Content) != 21 {
					t.Fatalf("got %d files and %v, want 21", len(got.Content), err)
				}
				if left := generations(t, dir); len(left) != 1 {
					t.Errorf("got generations %v, want one", left)
				}
			})
		}
	}
}

// generations returns the bare repositories of the only remote in a cache.
func generations(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*-*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func alter(t *testing.T, dir, pattern string, change func([]byte) []byte) {
	t.Helper()
	for _, name := range glob(t, dir, pattern) {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, change(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(t *testing.T, dir, pattern string) {
	t.Helper()
	for _, name := range glob(t, dir, pattern) {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("nothing to damage at %s: %v", pattern, err)
	}
	return names
}

// flipAll changes a bit in every seventh byte between header and trailer.
func flipAll(content []byte) []byte {
	for i := 40; i < len(content)-20; i += 7 {
		content[i] ^= 0x10
	}
	return content
}

func TestContentIsVerified(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "r")
	repo.Commit(t, map[string]string{"a": string(noise(50_000))})
	dir := t.TempDir()
	fetcher := git.New(git.Options{Dir: dir})
	result, err := fetcher.Fetch(t.Context(), onBranch(repo.URL(), "main"))
	if err != nil {
		t.Fatal(err)
	}
	alter(t, generations(t, dir)[0], "objects/pack/*.pack", func(b []byte) []byte { // noise is stored, not deflated
		b[len(b)/2] ^= 1
		return b
	})
	entries, err := result.Files.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := result.Files.Open(entries[0])
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(stream)
	if !errors.Is(err, pack.ErrCorrupt) {
		t.Errorf("got %v, want the corruption", err)
	}
	_ = stream.Close()
	_ = result.Files.Close()
	if got := fetch(t, fetcher, onBranch(repo.URL(), "main")); got.Content["a"] != string(noise(50_000)) {
		t.Error("the next fetch did not repair the cache")
	}
}

func TestManyCommitsCompact(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "r")
	first := repo.Apply(t, gittest.Change{Files: map[string]string{"stays": "0", "link": "stays"}, Modes: map[string]string{"link": "120000"}})
	dir := t.TempDir()
	fetcher := git.New(git.Options{Dir: dir})
	held, err := fetcher.Fetch(t.Context(), onBranch(repo.URL(), "main"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		repo.Commit(t, map[string]string{"n": fmt.Sprint(i), fmt.Sprintf("d%d/x", i%5): fmt.Sprint("x", i)})
		got := fetch(t, fetcher, onBranch(repo.URL(), "main"))
		if got.Content["n"] != fmt.Sprint(i) || got.Content["stays"] != "0" {
			t.Fatalf("commit %d: got %v", i, got.Content)
		}
	}
	entries, err := held.Files.Entries(t.Context())
	if err != nil || len(entries) != 1 || held.Commit.Hash != first {
		t.Errorf("the first reader sees %v and %v", entries, err)
	}
	if stream, err := held.Files.Open(entries[0]); err != nil {
		t.Errorf("the first reader cannot read any more: %v", err)
	} else {
		_ = stream.Close()
	}
	if err := held.Files.Close(); err != nil {
		t.Error(err)
	}
	left := generations(t, dir)
	if len(left) != 1 {
		t.Fatalf("got generations %v, want one", left)
	}
	if packs := glob(t, left[0], "objects/pack/*.pack"); len(packs) > 25 {
		t.Errorf("got %d packs", len(packs))
	}
	fsck(t, left[0])
}

// fsck lets C git look at the cache.
func fsck(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("git", "-C", dir, "fsck", "--strict", "--no-dangling")
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "error") || strings.Contains(string(out), "missing") {
		t.Errorf("git fsck: %v\n%s", err, out)
	}
}

func TestConcurrentFetches(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	var repos []*gittest.Repository
	for _, name := range []string{"a", "b", "c"} {
		repo := server.Repository(t, name)
		repo.Commit(t, manyFiles(30))
		repos = append(repos, repo)
	}
	fetcher := newFetcher(t)
	var group sync.WaitGroup
	for i := range 30 {
		group.Go(func() {
			got, err := tryFetch(t, fetcher, onBranch(repos[i%3].URL(), "main"))
			if err != nil || len(got.Content) != 30 {
				t.Errorf("got %d files and %v", len(got.Content), err)
			}
		})
	}
	group.Wait()
	if packs := server.Count("/git-upload-pack"); packs > 3 {
		t.Errorf("got %d transfers, want one for each remote", packs)
	}
	if lists := server.Count("/info/refs"); lists > 20 {
		t.Errorf("got %d lists of references for 30 requests at once, want them shared", lists)
	}
}

func TestPrune(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	old, young := server.Repository(t, "old"), server.Repository(t, "young")
	old.Commit(t, map[string]string{"a": "1"})
	young.Commit(t, map[string]string{"a": "1"})
	dir := t.TempDir()
	now := time.Now()
	fetcher := git.New(git.Options{Dir: dir, Now: func() time.Time { return now }})
	held, err := fetcher.Fetch(t.Context(), onBranch(old.URL(), "main"))
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Hour)
	fetch(t, fetcher, onBranch(young.URL(), "main"))
	prune := func(want int) {
		t.Helper()
		if err := fetcher.Prune(context.Background(), time.Hour); err != nil {
			t.Fatal(err)
		}
		if got := generations(t, dir); len(got) != want {
			t.Errorf("got %v, want %d", got, want)
		}
	}
	prune(2) // one is being read
	if err := held.Files.Close(); err != nil {
		t.Fatal(err)
	}
	prune(1)
	if got := fetch(t, fetcher, onBranch(old.URL(), "main")); got.Content["a"] != "1" {
		t.Errorf("after pruning: got %v", got.Content)
	}
	if err := git.New(git.Options{Dir: filepath.Join(dir, "none")}).Prune(context.Background(), 0); err != nil {
		t.Errorf("pruning nothing: %v", err)
	}
}
