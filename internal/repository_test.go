package internal_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// maxScanned bounds what is read of each file; nothing that people write is larger.
const maxScanned = 1 << 20

// walkText calls visit with each file of the repository that people write.
func walkText(t *testing.T, visit func(name, content string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); base == ".git" || base == "bin" || base == "dist" {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxScanned {
			return err
		}
		content, err := os.ReadFile(name)
		if err == nil {
			visit(name, string(content))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoSecrets: what opens a door is never committed, not even for a test, which can make its own.
func TestNoSecrets(t *testing.T) {
	secrets := map[string]*regexp.Regexp{
		"a private key":      regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{64,}`),
		"a PGP private key":  regexp.MustCompile(`-----BEGIN PGP PRIVATE KEY BLOCK-----\s+[A-Za-z0-9+/=\s]{64,}`),
		"an age identity":    regexp.MustCompile(`AGE-SECRET-KEY-(PQ-)?1[0-9A-Z]{58,}`),
		"a token of GitHub":  regexp.MustCompile(`\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})\b`),
		"a token of GitLab":  regexp.MustCompile(`\bglpat-[A-Za-z0-9_-]{20}\b`),
		"an access key (S3)": regexp.MustCompile(`\b(AKIA|ASIA)[0-9A-Z]{16}\b`),
	}
	walkText(t, func(name, content string) {
		for what, pattern := range secrets {
			if pattern.MatchString(content) {
				t.Errorf("%s holds %s", name, what)
			}
		}
	})
}

// TestLinks: a link from one page of this repository to another leads somewhere.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	walkText(t, func(name, content string) {
		if path.Ext(name) != ".md" {
			return
		}
		for _, match := range link.FindAllStringSubmatch(code.ReplaceAllString(content, ""), -1) {
			target, _, _ := strings.Cut(match[1], "#")
			if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), filepath.FromSlash(target))); err != nil {
				t.Errorf("%s links to %s, which is not there", name, match[1])
			}
		}
	})
}

// TestDecisionNames: each decision record has a number of its own, so that it can be cited by it.
func TestDecisionNames(t *testing.T) {
	records, err := filepath.Glob(filepath.Join(root, "docs", "decisions", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`^(\d{3})-[a-z0-9-]+\.md$`)
	seen := map[string]bool{}
	for _, record := range records {
		match := named.FindStringSubmatch(filepath.Base(record))
		if match == nil || seen[match[1]] {
			t.Errorf("%s is not named NNN-title.md with a number of its own", record)
			continue
		}
		seen[match[1]] = true
	}
}
