package git_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

func newFetcher(t testing.TB) *git.Fetcher {
	t.Helper()
	return git.New(git.Options{Dir: t.TempDir()})
}

// fetched is a result with its files read.
type fetched struct {
	git.Result
	Content map[string]string
	Entries map[string]tree.Entry
}

// fetch fails the test on error and closes the files.
func fetch(t testing.TB, fetcher *git.Fetcher, request git.Request) fetched {
	t.Helper()
	got, err := tryFetch(t, fetcher, request)
	if err != nil {
		t.Fatalf("fetching: %v", err)
	}
	return got
}

func tryFetch(t testing.TB, fetcher *git.Fetcher, request git.Request) (fetched, error) {
	t.Helper()
	result, err := fetcher.Fetch(context.Background(), request)
	if err != nil {
		return fetched{}, err
	}
	got := fetched{Result: result, Content: map[string]string{}, Entries: map[string]tree.Entry{}}
	if result.Unchanged {
		return got, nil
	}
	defer func() {
		if err := result.Files.Close(); err != nil {
			t.Errorf("closing files: %v", err)
		}
	}()
	return got, got.read()
}

func (f *fetched) read() error {
	entries, err := f.Files.Entries(context.Background())
	if err != nil {
		return err
	}
	for _, entry := range entries {
		stream, err := f.Files.Open(entry)
		if err != nil {
			return err
		}
		content, err := io.ReadAll(stream)
		_ = stream.Close()
		if err != nil {
			return err
		}
		f.Content[entry.Path], f.Entries[entry.Path] = string(content), entry
	}
	return nil
}

func paths(f fetched) []string {
	var names []string
	for name := range f.Content {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func onBranch(url, branch string) git.Request {
	return git.Request{URL: url, Reference: git.Reference{Branch: branch}}
}

func TestFetchReadsACommit(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "team/platform")
	hash := repo.Apply(t, gittest.Change{
		Files:   map[string]string{"a.yaml": "a: 1\n", "dir/sub/b.sh": "#!/bin/sh\n", "link": "a.yaml", "empty": ""},
		Modes:   map[string]string{"dir/sub/b.sh": "100755", "link": "120000"},
		Message: "first: say it\n\nBody.",
		Author:  "Ada Lovelace <ada@example.org>",
		When:    time.Unix(1_700_000_000, 0),
	})
	got := fetch(t, newFetcher(t), onBranch(repo.URL(), "main"))
	want := map[string]string{"a.yaml": "a: 1\n", "dir/sub/b.sh": "#!/bin/sh\n", "empty": ""}
	if diff := cmp.Diff(want, got.Content); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if got.Revision != "main@sha1:"+hash {
		t.Errorf("revision: got %s", got.Revision)
	}
	wantCommit := git.Commit{
		Hash: hash, Author: "Ada Lovelace <ada@example.org>", Subject: "first: say it", When: time.Unix(1_700_000_000, 0).UTC(),
	}
	if diff := cmp.Diff(wantCommit, got.Commit); diff != "" {
		t.Errorf("commit (-want +got):\n%s", diff)
	}
	entry := got.Entries["dir/sub/b.sh"]
	wantEntry := tree.Entry{Path: "dir/sub/b.sh", Hash: "sha1:" + repo.Hash(t, "main:dir/sub/b.sh"), Size: 10, Mode: 0o755}
	if diff := cmp.Diff(wantEntry, entry); diff != "" {
		t.Errorf("entry (-want +got):\n%s", diff)
	}
}

func TestUnchangedReferenceCostsOneRequest(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "r")
	repo.Commit(t, map[string]string{"a": "1"})
	fetcher := newFetcher(t)
	first := fetch(t, fetcher, onBranch(repo.URL(), "main"))
	server.Reset()
	request := onBranch(repo.URL(), "main")
	request.Known = first.Revision
	again := fetch(t, fetcher, request)
	if !again.Unchanged || again.Revision != first.Revision || again.Files != nil {
		t.Errorf("got %+v, want unchanged", again.Result)
	}
	requests := server.Requests()
	if len(requests) != 1 || !strings.HasSuffix(requests[0].Path, "/info/refs?service=git-upload-pack") {
		t.Errorf("got requests %+v, want one list of references", requests)
	}
	server.Reset()
	newcomer := fetch(t, fetcher, onBranch(repo.URL(), "main"))
	if newcomer.Unchanged || len(newcomer.Content) != 1 || len(server.Requests()) != 1 {
		t.Errorf("a newcomer got %+v with %d requests, want the cached files with one", newcomer.Result, len(server.Requests()))
	}
}

func TestFetchTransfersOnlyWhatChanged(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "r")
	repo.Commit(t, manyFiles(1000))
	fetcher := newFetcher(t)
	fetch(t, fetcher, onBranch(repo.URL(), "main"))
	cloned := packBytes(server)
	server.Reset()
	repo.Commit(t, map[string]string{"dir07/file003.yaml": "changed: true\n"})
	got := fetch(t, fetcher, onBranch(repo.URL(), "main"))
	if got.Content["dir07/file003.yaml"] != "changed: true\n" || len(got.Content) != 1000 {
		t.Errorf("got %d files, and %q", len(got.Content), got.Content["dir07/file003.yaml"])
	}
	if delta := packBytes(server); delta == 0 || delta > cloned/20 || delta > 8<<10 {
		t.Errorf("got %d bytes for one file after %d for all, want a small part", delta, cloned)
	}
}

func packBytes(server *gittest.Server) int64 {
	var sum int64
	for _, request := range server.Requests() {
		if strings.HasSuffix(request.Path, "/git-upload-pack") {
			sum += request.Bytes
		}
	}
	return sum
}

// manyFiles makes a repository's worth of files that do not compress into nothing.
func manyFiles(n int) map[string]string {
	files := map[string]string{}
	state := uint64(1)
	for i := range n {
		var content strings.Builder
		for range 40 {
			state = state*6364136223846793005 + 1442695040888963407
			content.WriteString(strings.Repeat("x", int(state>>60)) + string(rune('a'+state>>33%26)) + "\n")
		}
		files[strings.Join([]string{"dir" + two(i/50), "file" + three(i%50) + ".yaml"}, "/")] = content.String()
	}
	return files
}

func two(n int) string   { return string([]byte{byte('0' + n/10%10), byte('0' + n%10)}) }
func three(n int) string { return "0" + two(n) }
