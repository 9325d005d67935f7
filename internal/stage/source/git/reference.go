package git

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"

	"holdfast.dev/holdfast/internal/stage/source/git/wire"
)

// errNoReference says that the remote has no such reference; it may get one.
var errNoReference = errors.New("reference not found")

// selector is a Reference that was checked.
type selector struct {
	kind       selectorKind
	name       string // full reference; of a commit, where to look for it ("" is everywhere)
	label      string // what precedes the digest in the revision
	shown      string // what messages call it
	constraint *semver.Constraints
	commit     plumbing.Hash
}

type selectorKind int

const (
	byName selectorKind = iota
	byVersion
	byCommit
)

// candidate is a commit that a selector may mean.
type candidate struct {
	label  string
	want   plumbing.Hash // what to ask the remote for: the tag object where there is one
	commit plumbing.Hash
	tag    string // that the reference names, without refs/tags/; empty where it names none
}

// parse applies the order of precedence and checks what is set.
func (r Reference) parse() (selector, error) {
	switch {
	case r.Commit != "":
		return r.parseCommit()
	case r.Name != "":
		name := strings.TrimSuffix(r.Name, "^{}")
		if name != "HEAD" && !strings.HasPrefix(name, "refs/") {
			return selector{}, fmt.Errorf("malformed reference name %q: it must begin with refs/", r.Name)
		}
		return selector{name: name, label: r.Name, shown: fmt.Sprintf("reference '%s'", r.Name)}, checkName(name)
	case r.SemVer != "":
		constraint, err := semver.NewConstraint(r.SemVer)
		if err != nil {
			return selector{}, fmt.Errorf("malformed version range %q: %w", r.SemVer, err)
		}
		return selector{kind: byVersion, constraint: constraint, shown: fmt.Sprintf("version '%s'", r.SemVer)}, nil
	case r.Tag != "":
		return selector{name: "refs/tags/" + r.Tag, label: r.Tag, shown: fmt.Sprintf("tag '%s'", r.Tag)}, checkName(r.Tag)
	default:
		branch := r.Branch
		if branch == "" {
			branch = "master"
		}
		return selector{name: "refs/heads/" + branch, label: branch, shown: fmt.Sprintf("branch '%s'", branch)}, checkName(branch)
	}
}

func (r Reference) parseCommit() (selector, error) {
	if len(r.Commit) != 40 || !plumbing.IsHash(r.Commit) {
		return selector{}, fmt.Errorf("malformed commit %q: it must be forty hex digits", r.Commit)
	}
	s := selector{kind: byCommit, commit: plumbing.NewHash(r.Commit), shown: fmt.Sprintf("commit '%s'", strings.ToLower(r.Commit))}
	switch {
	case r.Name != "":
		s.label, s.name = r.Name, strings.TrimSuffix(r.Name, "^{}")
		return s, checkName(s.name)
	case r.Branch != "":
		s.label, s.name = r.Branch, "refs/heads/"+r.Branch
		return s, checkName(r.Branch)
	default:
		return s, nil
	}
}

// checkName refuses what Git's check-ref-format refuses. Names never become paths here, but they
// are shown to people and become part of revisions.
func checkName(name string) error {
	bad := name == "" || len(name) > 1000 || name == "@" ||
		strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") || strings.HasSuffix(name, ".") ||
		strings.Contains(name, "..") || strings.Contains(name, "//") || strings.Contains(name, "@{") ||
		strings.ContainsAny(name, " ~^:?*[\\\x7f") ||
		strings.ContainsFunc(name, func(r rune) bool { return r < ' ' })
	for part := range strings.SplitSeq(name, "/") {
		bad = bad || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock")
	}
	if bad {
		return fmt.Errorf("malformed reference name %q", name)
	}
	return nil
}

// candidates returns what the selector means at the remote, best first. There is more than one only
// for versions that are equal but for their build metadata; the newest commit wins among these.
func (s selector) candidates(refs map[string]wire.Ref) ([]candidate, error) {
	if s.kind == byVersion {
		return s.versions(refs)
	}
	ref, found := refs[s.name]
	if !found {
		return nil, errNoReference
	}
	tag, isTag := strings.CutPrefix(s.name, "refs/tags/")
	if !isTag {
		tag = ""
	}
	return []candidate{{label: s.label, want: ref.Hash, commit: ref.Peeled, tag: tag}}, nil
}

func (s selector) versions(refs map[string]wire.Ref) ([]candidate, error) {
	var best *semver.Version
	var tags []string
	for name := range refs {
		tag, isTag := strings.CutPrefix(name, "refs/tags/")
		if !isTag || checkName(tag) != nil {
			continue
		}
		version, ok := parseVersion(tag)
		if !ok || !s.constraint.Check(version) {
			continue
		}
		switch {
		case best == nil || version.GreaterThan(best):
			best, tags = version, []string{tag}
		case version.Equal(best):
			tags = append(tags, tag)
		}
	}
	if best == nil {
		return nil, errors.New("no tag matches")
	}
	sort.Strings(tags)
	const most = 64
	found := make([]candidate, 0, len(tags))
	for _, tag := range tags[max(0, len(tags)-most):] {
		ref := refs["refs/tags/"+tag]
		found = append(found, candidate{label: tag, want: ref.Hash, commit: ref.Peeled, tag: tag})
	}
	return found, nil
}

// parseVersion takes strict versions, with or without a "v".
func parseVersion(tag string) (*semver.Version, bool) {
	version, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v"))
	return version, err == nil
}

// places returns what to fetch, with its history, so that a commit that the remote does not give out
// by itself may be among it.
func (s selector) places(refs map[string]wire.Ref) ([]candidate, error) {
	if s.name != "" {
		ref, found := refs[s.name]
		if !found {
			return nil, errNoReference
		}
		return []candidate{{want: ref.Hash, commit: ref.Peeled}}, nil
	}
	seen := map[plumbing.Hash]struct{}{}
	var found []candidate
	for name, ref := range refs {
		if !strings.HasPrefix(name, "refs/heads/") && !strings.HasPrefix(name, "refs/tags/") {
			continue
		}
		if _, twice := seen[ref.Hash]; !twice {
			seen[ref.Hash] = struct{}{}
			found = append(found, candidate{want: ref.Hash, commit: ref.Peeled})
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].want.String() < found[j].want.String() })
	return found, nil
}
