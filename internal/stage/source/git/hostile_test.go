package git_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

// raw is a tree entry that no check has seen.
type raw struct{ mode, name, hash string }

func rawTree(t *testing.T, repo *gittest.Repository, entries ...raw) string {
	t.Helper()
	var out bytes.Buffer
	for _, entry := range entries {
		hash, err := hex.DecodeString(entry.hash)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %s\x00%s", entry.mode, entry.name, hash)
	}
	return repo.Object(t, "tree", out.Bytes())
}

func rawCommit(t *testing.T, repo *gittest.Repository, tree string) {
	t.Helper()
	content := "tree " + tree + "\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx\n"
	repo.Branch(t, "main", repo.Object(t, "commit", []byte(content)))
}

func TestHostileNames(t *testing.T) {
	names := map[string]string{
		"DotGit":      ".git",
		"Upper":       ".GIT",
		"Mixed":       ".gIt",
		"ShortNTFS":   "git~1",
		"ShortUpper":  "GIT~1",
		"TrailingDot": ".git.",
		"Spaces":      ".git . .",
		"Stream":      ".git::$INDEX_ALLOCATION",
		"HFSIgnored":  ".g\u200cit",
		"HFSMark":     "\ufeff.git",
		"Backslash":   `a\.git\hooks`,
		"Up":          "..",
		"Here":        ".",
		"Slash":       "a/../../b",
		"Absolute":    "/etc",
		"Long":        strings.Repeat("x", 300),
	}
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "r")
	blob := repo.Object(t, "blob", []byte("#!/bin/sh\n"))
	for label, name := range names {
		for _, mode := range []string{"100644", "40000"} {
			t.Run(label+mode, func(t *testing.T) {
				hash := blob
				if mode == "40000" {
					hash = rawTree(t, repo, raw{"100755", "post-checkout", blob})
				}
				below := rawTree(t, repo, raw{mode, name, hash})
				rawCommit(t, repo, rawTree(t, repo, raw{"40000", "deep", below}, raw{"100644", "ok", blob}))
				_, err := tryFetch(t, newFetcher(t), onBranch(repo.URL(), "main"))
				if err == nil || !strings.Contains(err.Error(), "is not allowed") {
					t.Errorf("got %v, want a refusal", err)
				}
			})
		}
	}
}

func TestHostileTrees(t *testing.T) {
	limits := git.Options{MaxFiles: 100, MaxRepositoryBytes: 1 << 20, MaxFileBytes: 1 << 16}
	cases := map[string]struct {
		why, want string
		build     func(t *testing.T, repo *gittest.Repository, blob string) string
	}{
		"Twice": {"a name that is there twice", "is there twice", func(t *testing.T, repo *gittest.Repository, blob string) string {
			return rawTree(t, repo, raw{"100644", "a", blob}, raw{"100644", "a", blob})
		}},
		"FileAndDir": {"a name that is file and directory", "is there twice", func(t *testing.T, repo *gittest.Repository, blob string) string {
			return rawTree(t, repo, raw{"100644", "a", blob}, raw{"40000", "a", rawTree(t, repo, raw{"100644", "b", blob})})
		}},
		"Mode": {"a mode that Git has not", "unknown mode", func(t *testing.T, repo *gittest.Repository, blob string) string {
			return rawTree(t, repo, raw{"10644", "a", blob})
		}},
		"TreeAsFile": {"a tree in place of a file", "", func(t *testing.T, repo *gittest.Repository, blob string) string {
			return rawTree(t, repo, raw{"100644", "a", rawTree(t, repo, raw{"100644", "b", blob})})
		}},
		"ManyFiles": {"more files than allowed", "number of files exceeds the limit of 100", func(t *testing.T, repo *gittest.Repository, blob string) string {
			var entries []raw
			for i := range 101 {
				entries = append(entries, raw{"100644", fmt.Sprintf("f%03d", i), blob})
			}
			return rawTree(t, repo, entries...)
		}},
		"Bomb": {"ten to the twelfth files in thirteen objects", "number of files exceeds", func(t *testing.T, repo *gittest.Repository, blob string) string {
			return bomb(t, repo, raw{"100644", "f", blob})
		}},
		"EmptyBomb": {"directories without any file", "number of directories exceeds", func(t *testing.T, repo *gittest.Repository, _ string) string {
			return bomb(t, repo, raw{"40000", "f", rawTree(t, repo)})
		}},
		"Deep": {"a tower of directories", "nested deeper", func(t *testing.T, repo *gittest.Repository, blob string) string {
			tree := rawTree(t, repo, raw{"100644", "f", blob})
			for range 300 {
				tree = rawTree(t, repo, raw{"40000", "d", tree})
			}
			return tree
		}},
		"SumOfSizes": {"one large file many times", "sum of the sizes of all files", func(t *testing.T, repo *gittest.Repository, _ string) string {
			large := repo.Object(t, "blob", bytes.Repeat([]byte("x"), 60_000))
			var entries []raw
			for i := range 50 {
				entries = append(entries, raw{"100644", fmt.Sprintf("f%03d", i), large})
			}
			return rawTree(t, repo, entries...)
		}},
		"LargeFile": {"refused when it is opened", "exceed the limit of 65536", func(t *testing.T, repo *gittest.Repository, _ string) string {
			return rawTree(t, repo, raw{"100644", "f", repo.Object(t, "blob", bytes.Repeat([]byte("x"), 70_000))})
		}},
		"ZipBomb": {"a small pack that inflates to much", "sum of the sizes of all objects", func(t *testing.T, repo *gittest.Repository, _ string) string {
			return rawTree(t, repo, raw{"100644", "f", repo.Object(t, "blob", make([]byte, 40<<20))})
		}},
		"LargePack": {"more bytes than allowed", "size of the pack in bytes exceeds the limit of 1048576", func(t *testing.T, repo *gittest.Repository, _ string) string {
			return rawTree(t, repo, raw{"100644", "f", repo.Object(t, "blob", noise(2<<20))})
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			server := gittest.Serve(t, gittest.Options{})
			repo := server.Repository(t, "r")
			rawCommit(t, repo, c.build(t, repo, repo.Object(t, "blob", []byte("x"))))
			options := limits
			options.Dir = t.TempDir()
			_, err := tryFetch(t, git.New(options), onBranch(repo.URL(), "main"))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", c.why, err, c.want)
			}
		})
	}
}

func bomb(t *testing.T, repo *gittest.Repository, entry raw) string {
	t.Helper()
	tree := ""
	for range 12 {
		var entries []raw
		for i := range 10 {
			entries = append(entries, raw{entry.mode, fmt.Sprintf("%s%d", entry.name, i), entry.hash})
		}
		tree = rawTree(t, repo, entries...)
		entry = raw{"40000", "d", tree}
	}
	return tree
}

func noise(n int) []byte {
	out := make([]byte, n)
	state := uint64(7)
	for i := range out {
		state = state*6364136223846793005 + 1442695040888963407
		out[i] = byte(state >> 56)
	}
	return out
}

func TestSymlinksAreLeftOut(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "r")
	repo.Apply(t, gittest.Change{
		Files: map[string]string{"a": "1", "out": "/etc/passwd", "up": "../../x", "self": "self", ".gitmodules": "/etc/passwd"},
		Modes: map[string]string{"out": "120000", "up": "120000", "self": "120000", ".gitmodules": "120000"},
	})
	request := onBranch(repo.URL(), "main")
	request.Submodules = true
	if got := paths(fetch(t, newFetcher(t), request)); len(got) != 1 || got[0] != "a" {
		t.Errorf("got %v, want [a]", got)
	}
}
