package ignore

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"holdfast.dev/holdfast/internal/model/tree"
)

// FileName is the name of an ignore file; it counts in every directory.
const FileName = ".sourceignore"

// versionControl is always excluded. A later pattern may bring a file back, as in Flux.
const versionControl = ".git/ .gitignore .gitmodules .gitattributes"

// byDefault is excluded only where neither the source nor its spec has a pattern.
const byDefault = "*.jpg *.jpeg *.gif *.png *.wmv *.flv *.tar.gz *.zip " +
	".github/ .circleci/ .travis.yml .gitlab-ci.yml appveyor.yml .drone.yml cloudbuild.yaml codeship-services.yml codeship-steps.yml " +
	"**/.goreleaser.yml **/.sops.yaml **/.flux.yaml"

// Limits of what a source may ask of us: the work is files times patterns.
const (
	maxFileSize = 1 << 20
	maxPatterns = 10_000
	maxStars    = 8 // in one element of a pattern
)

// collect returns all patterns in rising order of weight: version control, then the ignore files in
// the order in which a walk through the directories meets them, then the spec.
func collect(entries []tree.Entry, read func(path string) ([]byte, error), specIgnore *string) ([]rule, error) {
	var own []rule
	for _, entry := range ignoreFiles(entries) {
		if entry.Size > maxFileSize {
			return nil, fmt.Errorf("reading %s: %d bytes are more than the %d allowed", entry.Path, entry.Size, maxFileSize)
		}
		content, err := read(entry.Path)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", entry.Path, err)
		}
		if own, err = parse(own, string(content), domainOf(entry.Path)); err != nil {
			return nil, fmt.Errorf("reading %s: %w", entry.Path, err)
		}
	}
	if specIgnore != nil {
		var err error
		if own, err = parse(own, *specIgnore, nil); err != nil {
			return nil, fmt.Errorf("reading spec.ignore: %w", err)
		}
	}
	all := words(versionControl)
	if len(own) == 0 {
		return append(all, words(byDefault)...), nil
	}
	return append(all, own...), nil
}

// ignoreFiles finds the ignore files, each directory's own before those of the directories in it.
func ignoreFiles(entries []tree.Entry) []tree.Entry {
	var found []tree.Entry
	for _, entry := range entries {
		if path.Base(entry.Path) == FileName && !slices.Contains(domainOf(entry.Path), ".git") {
			found = append(found, entry)
		}
	}
	slices.SortFunc(found, func(a, b tree.Entry) int {
		return slices.Compare(domainOf(a.Path), domainOf(b.Path))
	})
	return found
}

// domainOf returns the elements of a file's directory; patterns apply only below it.
func domainOf(name string) []string {
	dir := path.Dir(name)
	if dir == "." {
		return nil
	}
	return strings.Split(dir, "/")
}

func parse(rules []rule, text string, domain []string) ([]rule, error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		if err := checkPattern(line); err != nil {
			return nil, err
		}
		rules = append(rules, newRule(line, domain))
	}
	if len(rules) > maxPatterns {
		return nil, fmt.Errorf("more than %d patterns", maxPatterns)
	}
	return rules, nil
}

// checkPattern refuses what no person writes but what costs a lot to match.
func checkPattern(line string) error {
	for element := range strings.SplitSeq(line, "/") {
		if strings.Count(element, "*") > maxStars {
			return fmt.Errorf("pattern %.80q has more than %d stars between two slashes", line, maxStars)
		}
	}
	return nil
}

func words(text string) []rule {
	var rules []rule
	for word := range strings.FieldsSeq(text) {
		rules = append(rules, newRule(word, nil))
	}
	return rules
}
