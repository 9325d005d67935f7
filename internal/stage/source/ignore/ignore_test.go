package ignore_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/source/ignore"
)

// source is a source's files: ignore files with their content, all others with none.
type source map[string]string

func (s source) entries() []tree.Entry {
	entries := make([]tree.Entry, 0, len(s))
	for name, content := range s {
		entries = append(entries, tree.Entry{Path: name, Size: int64(len(content))})
	}
	return tree.NewIndex(entries).Entries()
}

func (s source) read(name string) ([]byte, error) {
	content, found := s[name]
	if !found || content == "unreadable" {
		return nil, fs.ErrNotExist
	}
	return []byte(content), nil
}

func of(names ...string) source {
	all := source{}
	for _, name := range names {
		all[name] = ""
	}
	return all
}

func (s source) with(name, content string) source {
	s[name] = content
	return s
}

func TestFilter(t *testing.T) {
	text := func(s string) *string { return &s }
	cases := map[string]struct {
		why  string
		in   source
		spec *string
		want []string
	}{
		"Defaults": {
			why:  "no patterns anywhere: version control, images, archives, CI and tool files go",
			in:   of("app.yaml", ".gitignore", "a/.gitattributes", ".gitmodules", "logo.png", "a/b.jpg", "x.tar.gz", ".github/workflows/e2e.yaml", "a/.github/x.yaml", ".travis.yml", "a/.sops.yaml", ".flux.yaml", "a/.goreleaser.yml", "cloudbuild.yaml"),
			want: []string{"app.yaml"},
		},
		"SpecReplacesDefaults": {
			why:  "with any pattern only the version control defaults stay",
			in:   of("app.yaml", ".gitignore", "logo.png", ".github/x.yaml", "docs/a.md"),
			spec: text("docs/\n"),
			want: []string{".github/x.yaml", "app.yaml", "logo.png"},
		},
		"FileReplacesDefaults": {
			why:  "a .sourceignore counts as much as the spec, wherever it is",
			in:   of("app.yaml", ".gitignore", "logo.png", "a/skip", "skip").with("a/.sourceignore", "skip\n"),
			want: []string{"a/.sourceignore", "app.yaml", "logo.png", "skip"},
		},
		"CommentsAreNoPatterns": {
			why:  "a file of comments and blank lines does not replace the defaults",
			in:   of("app.yaml", "logo.png").with(".sourceignore", "# nothing\n\n  \n"),
			spec: text(""),
			want: []string{".sourceignore", "app.yaml"},
		},
		"Allowlist": {
			why:  "the common form: exclude all, bring back one folder, as files are judged one by one",
			in:   of("README.md", "deploy/app.yaml", "deploy/sub/x.yaml", "src/main.go"),
			spec: text("/*\n!/deploy\n"),
			want: []string{"deploy/app.yaml", "deploy/sub/x.yaml"},
		},
		"SpecBeatsFile": {
			why:  "the spec comes last",
			in:   of("a.yaml", "b.yaml").with(".sourceignore", "*.yaml\n"),
			spec: text("!a.yaml"),
			want: []string{".sourceignore", "a.yaml"},
		},
		"DeeperBeatsHigher": {
			why:  "a directory's own file comes after those above it",
			in:   of("x.txt", "a/x.txt").with(".sourceignore", "x.txt\n").with("a/.sourceignore", "!x.txt\n"),
			want: []string{".sourceignore", "a/.sourceignore", "a/x.txt"},
		},
		"NameOrderIsByElement": {
			why:  "a-b comes after a/b in a walk although a minus sorts before a slash",
			in:   of("a/x", "a-b/x").with("a/.sourceignore", "x").with("a-b/.sourceignore", "y"),
			want: []string{"a-b/.sourceignore", "a-b/x", "a/.sourceignore"},
		},
		"DomainIsTheDirectory": {
			why:  "a slash at the front means the directory of the file",
			in:   of("x", "a/x", "a/b/x").with("a/.sourceignore", "/x\n"),
			want: []string{"a/.sourceignore", "a/b/x", "x"},
		},
		"DirectoryOnly": {
			why:  "a slash at the end matches a directory and all in it, but no file of that name",
			in:   of("a/docs", "docs/x/y.md", "b/docs/z.md"),
			spec: text("docs/"),
			want: []string{"a/docs"},
		},
		"DoubleStar": {
			why:  "two stars match any number of directories",
			in:   of("a/test/x", "a/b/c/test/x", "test/x", "a/b/x"),
			spec: text("a/**/test"),
			want: []string{"a/b/x", "test/x"},
		},
		"BringsBackVersionControl": {
			why:  "user patterns weigh more than the version control defaults",
			in:   of(".gitignore", "a.yaml"),
			spec: text("!.gitignore"),
			want: []string{".gitignore", "a.yaml"},
		},
		"WindowsLines": {
			why:  "files from Windows end their lines with a return",
			in:   of("a.md", "b.yaml"),
			spec: text("*.md\r\n# x\r\n"),
			want: []string{"b.yaml"},
		},
		"IgnoreFilesInsideGitDirectories": {
			why:  "a .git directory is never looked into",
			in:   of("a.yaml", "logo.png").with("x/.git/.sourceignore", "*.yaml"),
			want: []string{"a.yaml"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			kept, err := ignore.Filter(c.in.entries(), c.in.read, c.spec)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, entry := range kept {
				got = append(got, entry.Path)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
}

func TestFilterRefuses(t *testing.T) {
	cases := map[string]struct {
		why  string
		in   source
		want string
	}{
		"Unreadable":      {"nothing is guessed", of().with(".sourceignore", "unreadable"), "file does not exist"},
		"HugeFile":        {"a file of patterns is small", of().with(".sourceignore", strings.Repeat("#", 1<<20+1)), "more than the 1048576 allowed"},
		"TooManyPatterns": {"work is files times patterns", of().with(".sourceignore", strings.Repeat("x\n", 10_001)), "more than 10000 patterns"},
		"TooManyStars":    {"each star is a loop", of().with("a/.sourceignore", "*a*a*a*a*a*a*a*a*a*b\n"), "more than 8 stars"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ignore.Filter(c.in.entries(), c.in.read, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error is %v, want %q", c.why, err, c.want)
			}
		})
	}
	_, err := ignore.Filter(of().with(".sourceignore", "unreadable").entries(), source{}.read, nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want the reader's own", err)
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("docs/\n!docs/keep", "*.md", "docs/keep")
	f.Add("**/x/**", "!**", "a/x/b")
	f.Add("[a-", "\\", "a")
	f.Fuzz(func(t *testing.T, file, spec, name string) {
		if !fs.ValidPath(name) || name == "." {
			return
		}
		in := of(name, "other.yaml").with("dir/.sourceignore", file)
		kept, err := ignore.Filter(in.entries(), in.read, &spec)
		if err == nil && len(kept) > len(in) {
			t.Errorf("%d entries came out of %d", len(kept), len(in))
		}
	})
}

func BenchmarkFilterTenThousandFiles(b *testing.B) {
	in := source{}
	for i := range 10_000 {
		in[fmt.Sprintf("clusters/apps/team-%d/app-%d/deployment.yaml", i%100, i)] = ""
	}
	entries := in.entries()
	for b.Loop() {
		if _, err := ignore.Filter(entries, in.read, nil); err != nil {
			b.Fatal(err)
		}
	}
}
