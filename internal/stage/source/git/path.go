package git

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

const (
	maxPath  = 4096
	maxDepth = 256
)

// checkComponent refuses names in trees that would leave their directory, or that a file system
// might take for Git's own folder.
func checkComponent(name string) error {
	switch {
	case name == "", name == ".", name == "..", len(name) > 255, strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("the name %q is not allowed", name)
	}
	for part := range strings.SplitSeq(name, `\`) { // a separator on Windows
		if isDotGit(part) {
			return fmt.Errorf("the name %q is not allowed", name)
		}
	}
	return nil
}

// isDotGit recognises ".git" as NTFS and HFS+ do: any case, with trailing dots, spaces and streams,
// by its short name, and with code points inside that HFS+ passes over.
func isDotGit(name string) bool {
	name, _, _ = strings.Cut(name, ":") // an alternate data stream
	name = strings.TrimRight(strings.ToLower(strings.Map(withoutIgnored, name)), ". ")
	return name == ".git" || name == "git~1"
}

// withoutIgnored drops the code points that HFS+ ignores in names.
func withoutIgnored(r rune) rune {
	switch {
	case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
		return -1
	case r == utf8.RuneError:
		return 'x'
	default:
		return r
	}
}

// sparse says which directories are wanted. The zero value wants all.
type sparse struct{ dirs []string }

// newSparse confines directories to the repository: "../x" or an absolute path is an error, not
// something to be cleaned until it fits.
func newSparse(dirs []string) (sparse, error) {
	var s sparse
	for _, dir := range dirs {
		if strings.HasPrefix(dir, "/") || strings.ContainsAny(dir, "\x00\\") || len(dir) > maxPath {
			return sparse{}, fmt.Errorf("malformed sparse checkout directory %q", dir)
		}
		for part := range strings.SplitSeq(dir, "/") {
			if part == ".." || isDotGit(part) {
				return sparse{}, fmt.Errorf("malformed sparse checkout directory %q", dir)
			}
		}
		clean := path.Clean(dir)
		if dir == "" || clean == "." {
			return sparse{}, nil // the root: all of it
		}
		s.dirs = append(s.dirs, clean)
	}
	return s, nil
}

// overlaps tells whether something in a directory is wanted.
func (s sparse) overlaps(dir string) bool {
	for _, wanted := range s.dirs {
		if within(dir, wanted) || within(wanted, dir) {
			return true
		}
	}
	return len(s.dirs) == 0 || dir == ""
}

// includes tells whether a file is wanted.
func (s sparse) includes(file string) bool {
	for _, wanted := range s.dirs {
		if within(file, wanted) {
			return true
		}
	}
	return len(s.dirs) == 0
}

// within tells whether name is dir or below it.
func within(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, dir+"/")
}

var errMissingDir = errors.New("no such directory in the repository")
