package git

import (
	"path"
	"strings"
	"testing"
	"unicode"

	"github.com/go-git/go-git/v5/plumbing"
)

func TestCheckComponent(t *testing.T) {
	for name, allowed := range map[string]bool{
		"a": true, ".gitignore": true, ".github": true, "git": true, "x.git": true, ".gitmodules": true,
		"git~2": true, "a b": true, "ü": true, "...": true, `a\b`: true,
		"": false, ".": false, "..": false, "a/b": false, "a\x00": false, ".git": false, ".GIT ": false,
		"git~1": false, ".g\u200dit": false, ".git:x": false, `a\.git`: false, `.git\a`: false,
	} {
		if got := checkComponent(name) == nil; got != allowed {
			t.Errorf("%q: got allowed %v, want %v", name, got, allowed)
		}
	}
}

func FuzzCheckComponent(f *testing.F) {
	for _, seed := range []string{"a", ".git", ".GIT.", "git~1", "..", "a/b", ".g\u200cit", `x\.git`, ".git::$DATA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkComponent(name) != nil {
			return
		}
		if path.Clean(name) != name || strings.ContainsAny(name, "/\x00") || name == ".." || name == "." {
			t.Errorf("%q leaves its directory", name)
		}
		if strings.EqualFold(strings.TrimFunc(name, func(r rune) bool { return r == '.' || r == ' ' }), "git") && strings.HasPrefix(name, ".g") {
			t.Errorf("%q is Git's own folder for some file system", name)
		}
	})
}

func FuzzSparse(f *testing.F) {
	for _, seed := range []string{"a", "./a/b", "../x", "/x", "a/../../b", ".", "", "a\x00", ".git"} {
		f.Add(seed, "a/b/c")
	}
	f.Fuzz(func(t *testing.T, dir, file string) {
		s, err := newSparse([]string{dir})
		if err != nil {
			return
		}
		for _, wanted := range s.dirs {
			if path.IsAbs(wanted) || wanted == ".." || strings.HasPrefix(wanted, "../") || path.Clean(wanted) != wanted {
				t.Errorf("%q became %q", dir, wanted)
			}
			if s.includes(file) && !s.overlaps(path.Dir(file)) && path.Dir(file) != "." {
				t.Errorf("%q is included but its directory is not visited", file)
			}
		}
	})
}

func FuzzReference(f *testing.F) {
	f.Add("main", "", "", "", "")
	f.Add("", "v1", "", "", "")
	f.Add("", "", ">=1.0.0", "", "")
	f.Add("", "", "", "refs/pull/1/head", "")
	f.Add("", "", "", "refs/tags/v1^{}", "")
	f.Add("main", "", "", "", strings.Repeat("0a", 20))
	f.Add("../../x", "..", "~1 || *", "refs/../x", "xyz")
	f.Fuzz(func(t *testing.T, branch, tag, version, name, commit string) {
		s, err := Reference{Branch: branch, Tag: tag, SemVer: version, Name: name, Commit: commit}.parse()
		if err != nil {
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) && s.kind != byVersion {
				t.Errorf("the error %q has control characters", err)
			}
			return
		}
		if strings.Contains(s.name, "..") || strings.ContainsFunc(s.name+s.label, unicode.IsControl) {
			t.Errorf("accepted %q, %q", s.name, s.label)
		}
		revision := s.revision(s.label, plumbing.ZeroHash)
		if !strings.HasSuffix(revision, "sha1:"+plumbing.ZeroHash.String()) {
			t.Errorf("revision %q", revision)
		}
	})
}

func FuzzParseTree(f *testing.F) {
	f.Add([]byte("100644 a\x00aaaaaaaaaaaaaaaaaaaa40000 b\x00bbbbbbbbbbbbbbbbbbbb"))
	f.Add([]byte("160000 .git\x00aaaaaaaaaaaaaaaaaaaa"))
	f.Add([]byte("120000 x"))
	f.Fuzz(func(t *testing.T, content []byte) {
		n, err := parseTree(content)
		if err != nil {
			return
		}
		for _, leaves := range [][]leaf{n.files, n.dirs, n.links, n.symlinks} {
			for _, entry := range leaves {
				if checkComponent(entry.name) != nil {
					t.Errorf("accepted %q", entry.name)
				}
			}
		}
	})
}

func FuzzParseCommit(f *testing.F) {
	f.Add("tree " + strings.Repeat("0", 40) + "\nparent " + strings.Repeat("1", 40) + "\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 2 +0000\n\nsubject\n\nbody")
	f.Add("tree x")
	f.Add("author > 99999999999999999999")
	f.Fuzz(func(t *testing.T, content string) {
		c, err := parseCommit(content)
		if err != nil {
			return
		}
		if d := c.describe(); strings.Contains(d.Subject, "\n") || len(d.Subject) > 600 {
			t.Errorf("subject %q", d.Subject)
		}
	})
}

func FuzzModules(f *testing.F) {
	f.Add([]byte("[submodule \"a\"]\n\tpath = a\n\turl = ../a.git\n"))
	f.Add([]byte("[submodule"))
	f.Add([]byte("[submodule \"../x\"]\npath=../../x\nurl=-x"))
	f.Fuzz(func(_ *testing.T, content []byte) {
		_, _ = parseModules(content)
	})
}

func TestSubsumedSparse(t *testing.T) {
	s, err := newSparse([]string{"a/b", "mod/x/y"})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.below("mod"); len(got.dirs) != 1 || got.dirs[0] != "x/y" {
		t.Errorf("got %v, want [x/y]", got.dirs)
	}
	if got := s.below("a/b/mod"); len(got.dirs) != 0 {
		t.Errorf("got %v, want all", got.dirs)
	}
}
