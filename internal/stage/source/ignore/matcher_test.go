package ignore

import (
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

// FuzzMatcherAgreesWithGoGit holds the short cut to what the library says.
func FuzzMatcherAgreesWithGoGit(f *testing.F) {
	for _, line := range []string{
		"*.md", "!*.md", "docs/", "!docs/", "**/x", "**/x/", "/x", "a/**/b", "x**", "**", "**/", "**/**", "[a-", `\!x`, `x\ `, "x ", "", "/", "!", "!/", "**/a**",
	} {
		f.Add(line, "!x\n*.yaml", "a/x/b.md")
		f.Add(line, line, "docs/x")
	}
	f.Fuzz(func(t *testing.T, first, second, name string) {
		var rules []rule
		var patterns []gitignore.Pattern
		for _, line := range strings.Split(first+"\n"+second, "\n") {
			rules = append(rules, newRule(line, nil))
			patterns = append(patterns, gitignore.ParsePattern(line, nil))
		}
		want := gitignore.NewMatcher(patterns).Match(strings.Split(name, "/"), false)
		if got := excluded(rules, name); got != want {
			t.Errorf("patterns %q exclude %q: %t, want %t", first+"\n"+second, name, got, want)
		}
	})
}
