package internal_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	module = "holdfast.dev/holdfast"
	root   = ".."

	maxFileLines     = 500
	maxFunctionLines = 60
)

// file is one Go file of this module.
type file struct {
	path    string // relative to the root of the module
	content []byte
	test    bool
	set     *token.FileSet
	syntax  *ast.File
}

// pkg is the code of one directory, tests left out.
type pkg struct {
	path    string // relative to the root of the module
	name    string
	doc     string
	imports []string // sorted
}

// parse reads every Go file of the module, once for all tests.
var parse = sync.OnceValues(func() ([]file, error) {
	var files []file
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != root && skipped(entry.Name()):
			return filepath.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		parsed, err := parseFile(name)
		if err == nil {
			files = append(files, parsed)
		}
		return err
	})
	return files, err
})

// skipped names the directories that hold nothing of ours, or nothing that is built.
func skipped(dir string) bool {
	return dir == "testdata" || dir == "vendor" || dir == "bin" || dir == "dist" || strings.HasPrefix(dir, ".")
}

func parseFile(name string) (file, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return file{}, err
	}
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, name, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	relative, err := filepath.Rel(root, name)
	return file{
		path: filepath.ToSlash(relative), content: content,
		test: strings.HasSuffix(name, "_test.go"), set: set, syntax: syntax,
	}, err
}

func files(t *testing.T) []file {
	t.Helper()
	all, err := parse()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// packages returns the packages of the module, sorted by path.
func packages(t *testing.T) []pkg {
	t.Helper()
	byPath := map[string]*pkg{}
	for _, f := range files(t) {
		if f.test {
			continue
		}
		dir := path.Dir(f.path)
		p, known := byPath[dir]
		if !known {
			p = &pkg{path: dir, name: f.syntax.Name.Name}
			byPath[dir] = p
		}
		p.doc += f.syntax.Doc.Text()
		for _, spec := range f.syntax.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			p.imports = append(p.imports, imported)
		}
	}
	var sorted []pkg
	for _, dir := range slices.Sorted(maps.Keys(byPath)) {
		p := *byPath[dir]
		slices.Sort(p.imports)
		p.imports = slices.Compact(p.imports)
		sorted = append(sorted, p)
	}
	return sorted
}

// TestPackagesIntroduceThemselves: a reader of any package learns first what goes in, what comes out
// and what it never does.
func TestPackagesIntroduceThemselves(t *testing.T) {
	for _, p := range packages(t) {
		want := "Package " + p.name + " "
		if p.name == "main" {
			want = ""
		}
		if p.doc == "" || !strings.HasPrefix(p.doc, want) {
			t.Errorf("%s has no package comment that begins with %q", p.path, want)
		}
	}
}

// TestPackageNames: a package is one word of the domain. The words below say only that code is there.
func TestPackageNames(t *testing.T) {
	empty := []string{"base", "common", "helper", "helpers", "lib", "manager", "managers", "misc", "shared", "type", "types", "util", "utils"}
	for _, p := range packages(t) {
		if slices.Contains(empty, p.name) {
			t.Errorf("%s is named %q, which says nothing of what it holds", p.path, p.name)
		}
	}
}

// TestFileSizes: a file that has grown past the limit holds two things.
func TestFileSizes(t *testing.T) {
	for _, f := range files(t) {
		lines := bytes.Count(f.content, []byte("\n"))
		if lines > maxFileLines && !strings.HasPrefix(path.Base(f.path), "zz_") {
			t.Errorf("%s has %d lines; split it by what it holds (at most %d)", f.path, lines, maxFileLines)
		}
	}
}

// TestFunctionSizes: a function that has grown past the limit does two things, or says why not.
func TestFunctionSizes(t *testing.T) {
	for _, f := range files(t) {
		if f.test || strings.HasPrefix(path.Base(f.path), "zz_") {
			continue
		}
		for _, declaration := range f.syntax.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || function.Body == nil {
				continue
			}
			if lines := f.bodyLines(function); lines > maxFunctionLines && !f.excused(function) {
				t.Errorf("%s: %s has %d lines; split it (at most %d), or add //nolint:funlen // and the reason",
					f.path, function.Name.Name, lines, maxFunctionLines)
			}
		}
	}
}

// bodyLines counts the lines between the braces of a function, without those of comments.
func (f file) bodyLines(function *ast.FuncDecl) int {
	line := func(position token.Pos) int { return f.set.Position(position).Line }
	count := line(function.Body.Rbrace) - line(function.Body.Lbrace) - 1
	for _, group := range f.syntax.Comments {
		if group.Pos() < function.Body.Lbrace || group.End() > function.Body.Rbrace {
			continue
		}
		if f.startsLine(group.Pos()) {
			count -= line(group.End()) - line(group.Pos()) + 1
		}
	}
	return count
}

// startsLine tells whether a comment has its line to itself.
func (f file) startsLine(comment token.Pos) bool {
	offset := f.set.Position(comment).Offset
	before := f.content[bytes.LastIndexByte(f.content[:offset], '\n')+1 : offset]
	return len(bytes.TrimSpace(before)) == 0
}

// excused tells whether a function says, above itself or beside its opening brace, why it is long.
func (f file) excused(function *ast.FuncDecl) bool {
	line := func(position token.Pos) int { return f.set.Position(position).Line }
	first, last := line(function.Pos())-1, line(function.Body.Lbrace)
	for _, group := range f.syntax.Comments {
		for _, comment := range group.List {
			_, reason, found := strings.Cut(comment.Text, "nolint:funlen //")
			if at := line(comment.Pos()); found && at >= first && at <= last && strings.TrimSpace(reason) != "" {
				return true
			}
		}
	}
	return false
}
