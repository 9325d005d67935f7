package fleet

import (
	"errors"
	"fmt"
	"strings"
)

// Subject is what a command's arguments name: kinds, and the names among them. No names means all.
type Subject struct {
	Kinds []Kind
	Names []string
}

// ParseSubject reads arguments such as "units", "source platform", "ks/apps", "unit kustomization/apps" or, as
// Flux's command line has it, "source oci app".
func ParseSubject(args []string) (Subject, error) {
	if len(args) == 0 {
		return Subject{}, errors.New("units or sources are to be named")
	}
	word, name, slashed := strings.Cut(args[0], "/")
	kinds := KindsNamed(word)
	if len(kinds) == 0 {
		return Subject{}, fmt.Errorf("%q is neither units nor sources nor one of their kinds", word)
	}
	names := args[1:]
	if short, found := sourceWord(word, names); found {
		kinds, names = KindsNamed(short), names[1:]
	}
	if slashed {
		names = append([]string{name}, names...)
	}
	parsed := Subject{Kinds: kinds}
	for _, name := range names {
		if err := parsed.add(name); err != nil {
			return Subject{}, err
		}
	}
	return parsed, nil
}

// sourceWord reads the kind that may follow the word source: "git", "oci", "bucket", "helm", "chart" or
// "external".
func sourceWord(word string, rest []string) (short string, found bool) {
	if word != string(Source) && word != string(Source)+"s" || len(rest) == 0 {
		return "", false
	}
	short, found = map[string]string{
		"git": "gitrepo", "oci": "ocirepo", "bucket": "bucket", "helm": "helmrepo", "chart": "helmchart", "external": "externalartifact",
	}[rest[0]]
	return short, found
}

// add takes a name, which may say its kind, "kustomization/apps", and so narrows the kinds.
func (s *Subject) add(name string) error {
	word, rest, slashed := strings.Cut(name, "/")
	if slashed {
		var narrowed []Kind
		for _, kind := range KindsNamed(word) {
			for _, wanted := range s.Kinds {
				if kind.GroupKind == wanted.GroupKind {
					narrowed = append(narrowed, kind)
				}
			}
		}
		if len(narrowed) == 0 {
			return fmt.Errorf("%q does not name a kind that fits here", name)
		}
		s.Kinds, name = narrowed, rest
	}
	if name == "" {
		return errors.New("a name is missing after the slash")
	}
	s.Names = append(s.Names, name)
	return nil
}

// One returns the only name, for commands that work on a single resource.
func (s Subject) One() (string, error) {
	if len(s.Names) != 1 {
		return "", fmt.Errorf("one name is needed, %d are given", len(s.Names))
	}
	return s.Names[0], nil
}
