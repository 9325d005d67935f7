package git_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

func gitmodules(modules ...string) string {
	var out strings.Builder
	for i := 0; i < len(modules); i += 2 {
		fmt.Fprintf(&out, "[submodule %q]\n\tpath = %s\n\turl = %s\n", modules[i], modules[i], modules[i+1])
	}
	return out.String()
}

func TestSubmodules(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{Username: "git", Password: secret})
	open := gittest.Serve(t, gittest.Options{})
	inner := server.Repository(t, "team/inner")
	innerHash := inner.Commit(t, map[string]string{"deep/i": "inner"})
	foreign := open.Repository(t, "foreign")
	foreignHash := foreign.Commit(t, map[string]string{"f": "foreign"})
	middle := server.Repository(t, "team/middle")
	middle.Commit(t, map[string]string{"before": "1"})
	middleHash := middle.Apply(t, gittest.Change{
		Files: map[string]string{"m": "middle", ".gitmodules": gitmodules("in", "../inner.git")},
		Links: map[string]string{"in": innerHash},
	})
	middle.Commit(t, map[string]string{"later": "1"}) // the pin is not a tip
	top := server.Repository(t, "team/top")
	top.Apply(t, gittest.Change{
		Files: map[string]string{"t": "top", ".gitmodules": gitmodules("libs/mid", "../middle.git", "for", foreign.URL(), "gone", "../none.git")},
		Links: map[string]string{"libs/mid": middleHash, "for": foreignHash, "unmentioned": innerHash},
	})
	request := onBranch(top.URL(), "main")
	request.Auth = git.Auth{Username: "git", Password: secret}
	fetcher := newFetcher(t)
	if got := paths(fetch(t, fetcher, request)); !cmp.Equal(got, []string{".gitmodules", "t"}) {
		t.Errorf("without submodules: got %v", got)
	}
	request.Submodules = true
	got := fetch(t, fetcher, request)
	want := map[string]string{
		".gitmodules": got.Content[".gitmodules"], "t": "top",
		"libs/mid/m": "middle", "libs/mid/.gitmodules": got.Content["libs/mid/.gitmodules"],
		"libs/mid/before": "1", "libs/mid/in/deep/i": "inner", "for/f": "foreign",
	}
	if diff := cmp.Diff(want, got.Content); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for _, request := range open.Requests() {
		if request.Authorization != "" {
			t.Errorf("credentials went to the submodule's foreign host: %+v", request)
		}
	}
	request.Known = got.Revision
	server.Reset()
	open.Reset()
	if again := fetch(t, fetcher, request); !again.Unchanged || len(server.Requests())+len(open.Requests()) != 1 {
		t.Errorf("unchanged: got %+v with %d requests", again.Result, len(server.Requests())+len(open.Requests()))
	}
	request.Known = ""
	request.Sparse = []string{"libs/mid/in/deep"}
	if got := paths(fetch(t, fetcher, request)); !cmp.Equal(got, []string{"libs/mid/in/deep/i"}) {
		t.Errorf("sparse into a submodule: got %v", got)
	}
}

func TestHostileSubmodules(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{Username: "git", Password: secret})
	loop := server.Repository(t, "loop")
	base := loop.Commit(t, map[string]string{"a": "1"})
	cases := map[string]struct{ why, url, commit, want string }{
		"File":     {"nothing on this machine", "file:///etc", base, "the scheme must be http, https or ssh"},
		"Ext":      {"no helper", "ext::sh -c id", base, "malformed URL"},
		"Dash":     {"no option", "--upload-pack=id", base, "malformed URL"},
		"DashHost": {"no option of ssh", "ssh://-oProxyCommand=id/x", base, "no host"},
		"Local":    {"no path of this machine", "/etc", base, "malformed URL"},
		"Out":      {"beyond the server's root", "../../../../x", base, "leads out of the server"},
		"Missing":  {"a commit that is not there", "./../loop.git", strings.Repeat("ab", 20), "commit not found"},
		"SSH":      {"no identity for it", "git@example.org:x/y.git", base, "needs an identity"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			top := server.Repository(t, "top-"+name)
			top.Apply(t, gittest.Change{
				Files: map[string]string{".gitmodules": gitmodules("sub", c.url)},
				Links: map[string]string{"sub": c.commit},
			})
			request := onBranch(top.URL(), "main")
			request.Auth, request.Submodules = git.Auth{Username: "git", Password: secret}, true
			_, err := tryFetch(t, newFetcher(t), request)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `fetching submodule "sub"`) {
				t.Errorf("%s: got %v, want %q", c.why, err, c.want)
			}
		})
	}
}

// TestEndlessSubmodules nests deeper than allowed: each commit has the one before as its submodule.
func TestEndlessSubmodules(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "r")
	commit := repo.Commit(t, map[string]string{"a": "1"})
	for range 15 {
		commit = repo.Apply(t, gittest.Change{
			Files: map[string]string{".gitmodules": gitmodules("sub", "../r.git")},
			Links: map[string]string{"sub": commit},
		})
	}
	request := onBranch(repo.URL(), "main")
	request.Submodules = true
	_, err := tryFetch(t, newFetcher(t), request)
	if err == nil || !strings.Contains(err.Error(), "nested deeper than 10") {
		t.Errorf("got %v", err)
	}
}

func TestSparse(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "r")
	repo.Commit(t, map[string]string{"root": "", "a/x": "", "a/b/y": "", "ab/z": "", "c/d/e": ""})
	cases := map[string]struct {
		why  string
		dirs []string
		want []string
		err  string
	}{
		"One":      {"a directory with all below", []string{"a"}, []string{"a/b/y", "a/x"}, ""},
		"Dotted":   {"as people write it", []string{"./a/b/"}, []string{"a/b/y"}, ""},
		"Two":      {"several", []string{"a/b", "c"}, []string{"a/b/y", "c/d/e"}, ""},
		"Root":     {"the root is all", []string{"a", "."}, []string{"a/b/y", "a/x", "ab/z", "c/d/e", "root"}, ""},
		"Missing":  {"a typing error must not become an empty artifact", []string{"a", "x"}, nil, `no such directory in the repository: "x"`},
		"File":     {"a file is no directory", []string{"root"}, nil, "no such directory"},
		"Up":       {"confined", []string{"../a"}, nil, "malformed sparse checkout directory"},
		"UpInside": {"confined", []string{"a/../../x"}, nil, "malformed sparse checkout directory"},
		"Absolute": {"confined", []string{"/a"}, nil, "malformed sparse checkout directory"},
		"DotGit":   {"confined", []string{".git/hooks"}, nil, "malformed sparse checkout directory"},
		"NUL":      {"confined", []string{"a\x00"}, nil, "malformed sparse checkout directory"},
	}
	fetcher := newFetcher(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			request := onBranch(repo.URL(), "main")
			request.Sparse = c.dirs
			got, err := tryFetch(t, fetcher, request)
			if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%s: got %v, want %q", c.why, err, c.err)
			}
			if c.err == "" && (err != nil || !cmp.Equal(paths(got), c.want)) {
				t.Errorf("%s: got %v and %v, want %v", c.why, paths(got), err, c.want)
			}
		})
	}
}
