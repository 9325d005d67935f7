package ignore

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

// rule is one pattern. Most patterns are a name, or the end of one, at any depth: these are judged
// here, because they are asked for every element of every path. Everything else is left to go-git,
// and so is every question of what a pattern means: a fuzz test compares.
type rule struct {
	whole    gitignore.Pattern
	name     string // the pattern of a file's or directory's name; empty where only whole can judge
	ending   string // what the name must end in, if that is all that the pattern asks
	plain    bool   // name has to be met as it is
	dirOnly  bool
	excludes bool
}

func newRule(line string, domain []string) rule {
	parsed := rule{whole: gitignore.ParsePattern(line, domain)}
	name, includes := strings.CutPrefix(line, "!")
	parsed.excludes = !includes
	if !strings.HasSuffix(name, `\ `) {
		name = strings.TrimRight(name, " ")
	}
	name, parsed.dirOnly = strings.CutSuffix(name, "/")
	name = strings.TrimPrefix(name, "**/")
	_, malformed := filepath.Match(name, "")
	if len(domain) > 0 || malformed != nil || strings.Contains(name, "/") || strings.Contains(name, "**") {
		return parsed
	}
	parsed.name = name
	const special = `*?[\`
	parsed.plain = !strings.ContainsAny(name, special)
	if ending, found := strings.CutPrefix(name, "*"); found && !strings.ContainsAny(ending, special) {
		parsed.ending = ending
	}
	return parsed
}

func (r *rule) fits(element string) bool {
	switch {
	case r.plain:
		return element == r.name
	case r.ending != "":
		return strings.HasSuffix(element, r.ending)
	default:
		fits, _ := filepath.Match(r.name, element) // malformed names never come here
		return fits
	}
}

// verdict is what a rule says of the file with these elements.
func (r *rule) verdict(elements []string) gitignore.MatchResult {
	if r.name == "" {
		return r.whole.Match(elements, false)
	}
	first := slices.IndexFunc(elements, r.fits)
	switch {
	case first < 0, r.dirOnly && first == len(elements)-1:
		return gitignore.NoMatch
	case r.excludes:
		return gitignore.Exclude
	default:
		return gitignore.Include
	}
}

// excluded tells whether the last rule that has anything to say of a file excludes it.
func excluded(rules []rule, name string) bool {
	elements := strings.Split(name, "/")
	for i := len(rules) - 1; i >= 0; i-- {
		if verdict := rules[i].verdict(elements); verdict != gitignore.NoMatch {
			return verdict == gitignore.Exclude
		}
	}
	return false
}
