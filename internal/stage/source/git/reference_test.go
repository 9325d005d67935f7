package git_test

import (
	"errors"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

func TestReferences(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "r")
	one := repo.Apply(t, gittest.Change{Files: map[string]string{"n": "1"}, Branch: "master"})
	two := repo.Commit(t, map[string]string{"n": "2"})
	three := repo.Commit(t, map[string]string{"n": "3"})
	repo.Branch(t, "feature/x", two)
	repo.Tag(t, "light", one)
	repo.AnnotatedTag(t, "annotated", two)
	repo.SetRef(t, "refs/pull/7/head", three)
	repo.Tag(t, "v1.0.0", one)
	repo.AnnotatedTag(t, "v1.9.0", two)
	repo.Tag(t, "2.0.0-rc.1", three)
	repo.Tag(t, "v1.10", three) // no strict version
	repo.Tag(t, "3.0.0+b", one)
	repo.Tag(t, "3.0.0+a", two) // newer commit than +b

	cases := map[string]struct {
		why  string
		ref  git.Reference
		want string
	}{
		"Default":          {"nothing set is the branch master", git.Reference{}, "master@sha1:" + one},
		"Branch":           {"a branch by its short name", git.Reference{Branch: "main"}, "main@sha1:" + three},
		"BranchWithSlash":  {"slashes stay", git.Reference{Branch: "feature/x"}, "feature/x@sha1:" + two},
		"LightTag":         {"a lightweight tag is its commit", git.Reference{Tag: "light"}, "light@sha1:" + one},
		"AnnotatedTag":     {"an annotated tag peels to its commit", git.Reference{Tag: "annotated"}, "annotated@sha1:" + two},
		"SemVer":           {"highest version in range, annotated", git.Reference{SemVer: ">=1.0.0 <2.0.0"}, "v1.9.0@sha1:" + two},
		"SemVerPrerelease": {"prereleases only if the range names one", git.Reference{SemVer: ">=1.0.0-0 <2.0.0"}, "2.0.0-rc.1@sha1:" + three},
		"SemVerBuild":      {"equal versions: the newest commit", git.Reference{SemVer: ">=3.0.0"}, "3.0.0+a@sha1:" + two},
		"Name":             {"any reference", git.Reference{Name: "refs/pull/7/head"}, "refs/pull/7/head@sha1:" + three},
		"NameOfTag":        {"a tag by its full name peels too", git.Reference{Name: "refs/tags/annotated"}, "refs/tags/annotated@sha1:" + two},
		"NamePeeled":       {"the peeled form that Flux takes", git.Reference{Name: "refs/tags/annotated^{}"}, "refs/tags/annotated^{}@sha1:" + two},
		"Head":             {"HEAD is a reference", git.Reference{Name: "HEAD"}, "HEAD@sha1:" + three},
		"Commit":           {"a commit has no name", git.Reference{Commit: two}, "sha1:" + two},
		"CommitAndBranch":  {"with a branch it has", git.Reference{Commit: two, Branch: "main"}, "main@sha1:" + two},
		"CommitFirst":      {"commit beats all", git.Reference{Commit: one, SemVer: "1.x", Tag: "light"}, "sha1:" + one},
		"NameSecond":       {"name beats semver", git.Reference{Name: "refs/heads/main", SemVer: "1.x", Tag: "light"}, "refs/heads/main@sha1:" + three},
		"SemVerThird":      {"semver beats tag", git.Reference{SemVer: "1.0.0", Tag: "annotated"}, "v1.0.0@sha1:" + one},
		"TagFourth":        {"tag beats branch", git.Reference{Tag: "light", Branch: "main"}, "light@sha1:" + one},
	}
	fetcher := newFetcher(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := fetch(t, fetcher, git.Request{URL: repo.URL(), Reference: c.ref})
			if got.Revision != c.want {
				t.Errorf("%s: got %s, want %s", c.why, got.Revision, c.want)
			}
			again := fetch(t, fetcher, git.Request{URL: repo.URL(), Reference: c.ref, Known: got.Revision})
			if !again.Unchanged || again.Revision != c.want {
				t.Errorf("the second time: got %+v, want unchanged", again.Result)
			}
		})
	}
}

func TestReferenceErrors(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "r")
	repo.Commit(t, map[string]string{"n": "1"})
	blob := repo.Object(t, "blob", []byte("x"))
	repo.SetRef(t, "refs/tags/blob", blob)
	empty := server.Repository(t, "empty")
	cases := map[string]struct {
		why  string
		url  string
		ref  git.Reference
		want string
		kind fault.Kind
	}{
		"NoBranch":        {"may come", repo.URL(), git.Reference{Branch: "x"}, "fetching branch 'x' of " + repo.URL() + ": reference not found", fault.Transient},
		"NoTag":           {"may come", repo.URL(), git.Reference{Tag: "x"}, "fetching tag 'x' of " + repo.URL() + ": reference not found", fault.Transient},
		"NoVersion":       {"may come", repo.URL(), git.Reference{SemVer: "9.x"}, "fetching version '9.x' of " + repo.URL() + ": no tag matches", fault.Transient},
		"NoCommit":        {"may come", repo.URL(), git.Reference{Commit: strings.Repeat("ab", 20)}, ": commit not found", fault.Transient},
		"NotACommit":      {"a tag of a blob has no files", repo.URL(), git.Reference{Tag: "blob"}, "it is a blob", fault.Transient},
		"Empty":           {"may be pushed to", empty.URL(), git.Reference{Branch: "main"}, "the repository is empty", fault.Transient},
		"NoRepository":    {"may be made", server.Address + "/none.git", git.Reference{Branch: "main"}, "repository not found", fault.Transient},
		"BadRange":        {"only a person can mend it", repo.URL(), git.Reference{SemVer: "what"}, "malformed version range", fault.Stalled},
		"BadCommit":       {"only a person can mend it", repo.URL(), git.Reference{Commit: "123"}, "forty hex digits", fault.Stalled},
		"BadName":         {"only a person can mend it", repo.URL(), git.Reference{Name: "main"}, "must begin with refs/", fault.Stalled},
		"TraversalInName": {"no path is made of it, and yet", repo.URL(), git.Reference{Branch: "../../x"}, "malformed reference name", fault.Stalled},
		"ControlInName":   {"it ends up in conditions", repo.URL(), git.Reference{Branch: "a\nb"}, "malformed reference name", fault.Stalled},
		"Scheme":          {"nothing on this machine", "file:///etc", git.Reference{}, "the scheme must be http, https or ssh", fault.Stalled},
		"NoHost":          {"", "https:///x", git.Reference{}, "no host", fault.Stalled},
		"SparseUp":        {"confined", repo.URL(), git.Reference{}, "malformed sparse checkout directory", fault.Stalled},
	}
	fetcher := newFetcher(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			request := git.Request{URL: c.url, Reference: c.ref}
			if name == "SparseUp" {
				request.Sparse = []string{"a/../../b"}
			}
			_, err := tryFetch(t, fetcher, request)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: got %v, want one line with %q", c.why, err, c.want)
			}
			if got := fault.KindOf(err); got != c.kind {
				t.Errorf("%s: got kind %v, want %v", c.why, got, c.kind)
			}
		})
	}
}

func TestPinnedCommit(t *testing.T) {
	for name, c := range map[string]struct {
		why    string
		config string
		whole  bool
	}{
		"TipsOnly": {why: "a server that gives out tips alone: the history must be searched", config: "false", whole: true},
		"Any":      {why: "a server that gives out any commit: one commit is enough", config: "true"},
	} {
		t.Run(name, func(t *testing.T) {
			server := gittest.Serve(t, gittest.Options{})
			repo := server.Repository(t, "r")
			repo.Git(t, "config", "uploadpack.allowReachableSHA1InWant", c.config)
			repo.Commit(t, map[string]string{"n": "1"})
			pin := repo.Commit(t, map[string]string{"n": "2"})
			repo.Commit(t, map[string]string{"n": "3"})
			fetcher := newFetcher(t)
			fetch(t, fetcher, onBranch(repo.URL(), "main")) // a shallow commit that must not hide its history
			for _, ref := range []git.Reference{{Commit: pin}, {Commit: pin, Branch: "main"}} {
				got := fetch(t, fetcher, git.Request{URL: repo.URL(), Reference: ref})
				if got.Content["n"] != "2" {
					t.Errorf("%s: got %v", c.why, got.Content)
				}
			}
			server.Reset()
			got := fetch(t, fetcher, git.Request{URL: repo.URL(), Reference: git.Reference{Commit: pin}})
			if got.Content["n"] != "2" || len(server.Requests()) != 0 {
				t.Errorf("a cached commit took %d requests, want none", len(server.Requests()))
			}
			last := repo.Commit(t, map[string]string{"n": "4"})
			if got := fetch(t, fetcher, onBranch(repo.URL(), "main")); got.Commit.Hash != last || got.Content["n"] != "4" {
				t.Errorf("the branch after the pin: got %+v", got.Result)
			}
			absent := git.Reference{Commit: strings.Repeat("12", 20), Branch: "main"}
			if _, err := tryFetch(t, fetcher, git.Request{URL: repo.URL(), Reference: absent}); err == nil {
				t.Error("a commit that does not exist: got no error")
			}
		})
	}
}

func TestForcePush(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "r")
	first := repo.Commit(t, map[string]string{"a": "1", "b": "1"})
	repo.Commit(t, map[string]string{"a": "2"})
	fetcher := newFetcher(t)
	fetch(t, fetcher, onBranch(repo.URL(), "main"))
	repo.Apply(t, gittest.Change{Files: map[string]string{"c": "3"}, Orphan: true})
	repo.Git(t, "reflog", "expire", "--expire=now", "--all")
	repo.Git(t, "gc", "--prune=now", "--quiet") // the server forgets what we have
	if got := paths(fetch(t, fetcher, onBranch(repo.URL(), "main"))); len(got) != 1 || got[0] != "c" {
		t.Errorf("after the orphan: got %v, want [c]", got)
	}
	other := gittest.NewRepository(t)
	other.Commit(t, map[string]string{"a": "1", "b": "1"})
	repo.Git(t, "fetch", "--quiet", other.Dir, "+refs/heads/main:refs/heads/main")
	got := fetch(t, fetcher, onBranch(repo.URL(), "main"))
	if got.Commit.Hash != first || len(got.Content) != 2 {
		t.Errorf("after going back: got %+v", got.Result)
	}
}

func TestErrorsAreOfTheirKind(t *testing.T) {
	_, err := git.New(git.Options{Dir: t.TempDir()}).Fetch(t.Context(), git.Request{URL: "nonsense"})
	if fault.KindOf(err) != fault.Stalled || fault.ReasonOf(err, "") != "URLInvalid" {
		t.Errorf("got %v of kind %v and reason %q", err, fault.KindOf(err), fault.ReasonOf(err, ""))
	}
	var f *fault.Error
	if !errors.As(err, &f) {
		t.Error("it is no fault")
	}
}
