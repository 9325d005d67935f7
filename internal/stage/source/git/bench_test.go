package git_test

import (
	"fmt"
	"testing"

	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

// BenchmarkNewCommit fetches a commit that changes one of 1,000 files. What git-http-backend takes
// on the other side is part of it; BenchmarkUnchanged shows how much that is at least.
func BenchmarkNewCommit(b *testing.B) {
	server := gittest.Serve(b, gittest.Options{})
	repo := server.Repository(b, "r")
	repo.Commit(b, manyFiles(1000))
	fetcher := newFetcher(b)
	fetchEntries(b, fetcher, onBranch(repo.URL(), "main"))
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		repo.Commit(b, map[string]string{"dir03/file007.yaml": fmt.Sprint(i)})
		b.StartTimer()
		fetchEntries(b, fetcher, onBranch(repo.URL(), "main"))
	}
}

// BenchmarkCachedCommit lists a commit of 1,000 files that is in the cache, without any network.
func BenchmarkCachedCommit(b *testing.B) {
	server := gittest.Serve(b, gittest.Options{})
	repo := server.Repository(b, "r")
	pin := repo.Commit(b, manyFiles(1000))
	for name, listing := range map[string]int64{"listed": 0, "unlisted": 1} {
		b.Run(name, func(b *testing.B) {
			fetcher := git.New(git.Options{Dir: b.TempDir(), MaxListingBytes: listing})
			request := git.Request{URL: repo.URL(), Reference: git.Reference{Commit: pin}}
			fetchEntries(b, fetcher, request)
			for b.Loop() {
				fetchEntries(b, fetcher, request)
			}
		})
	}
}

// BenchmarkUnchanged asks for the references alone.
func BenchmarkUnchanged(b *testing.B) {
	server := gittest.Serve(b, gittest.Options{})
	repo := server.Repository(b, "r")
	hash := repo.Commit(b, map[string]string{"a": "1"})
	fetcher := newFetcher(b)
	request := onBranch(repo.URL(), "main")
	request.Known = "main@sha1:" + hash
	for b.Loop() {
		if _, err := fetcher.Fetch(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
}

func fetchEntries(b *testing.B, fetcher *git.Fetcher, request git.Request) {
	b.Helper()
	result, err := fetcher.Fetch(b.Context(), request)
	if err != nil {
		b.Fatal(err)
	}
	entries, err := result.Files.Entries(b.Context())
	if err != nil || len(entries) != 1000 {
		b.Fatalf("got %d entries and %v", len(entries), err)
	}
	if err := result.Files.Close(); err != nil {
		b.Fatal(err)
	}
}
