package cli

import (
	"errors"
	"fmt"
	"strings"

	"holdfast.dev/holdfast/internal/cli/fleet"
)

// subject is what a command's arguments name: kinds, and the names among them. No names means all.
type subject struct {
	kinds []fleet.Kind
	names []string
}

const subjectHint = "say units, sources, all, or a kind such as kustomization, then names; for example `units apps`"

// parseSubject reads arguments such as "units", "source platform", "ks/apps" or "unit kustomization/apps".
func parseSubject(args []string) (subject, error) {
	if len(args) == 0 {
		return subject{}, hinted(errors.New("units or sources are to be named"), subjectHint)
	}
	word, name, slashed := strings.Cut(args[0], "/")
	kinds := fleet.KindsNamed(word)
	if len(kinds) == 0 {
		return subject{}, hinted(fmt.Errorf("%q is neither units nor sources nor one of their kinds", word), subjectHint)
	}
	names := args[1:]
	if slashed {
		names = append([]string{name}, names...)
	}
	parsed := subject{kinds: kinds}
	for _, name := range names {
		if err := parsed.add(name); err != nil {
			return subject{}, err
		}
	}
	return parsed, nil
}

// add takes a name, which may say its kind, "kustomization/apps", and so narrows the kinds.
func (s *subject) add(name string) error {
	word, rest, slashed := strings.Cut(name, "/")
	if slashed {
		var narrowed []fleet.Kind
		for _, kind := range fleet.KindsNamed(word) {
			for _, wanted := range s.kinds {
				if kind.GroupKind == wanted.GroupKind {
					narrowed = append(narrowed, kind)
				}
			}
		}
		if len(narrowed) == 0 {
			return hinted(fmt.Errorf("%q does not name a kind that fits here", name), subjectHint)
		}
		s.kinds, name = narrowed, rest
	}
	if name == "" {
		return hinted(errors.New("a name is missing after the slash"), subjectHint)
	}
	s.names = append(s.names, name)
	return nil
}

// one returns the only name, for commands that work on a single resource.
func (s subject) one() (string, error) {
	if len(s.names) != 1 {
		return "", hinted(fmt.Errorf("one name is needed, %d are given", len(s.names)), subjectHint)
	}
	return s.names[0], nil
}

// of returns the subject's kinds of one role.
func (s subject) of(role fleet.Role) []fleet.Kind {
	var kinds []fleet.Kind
	for _, kind := range s.kinds {
		if kind.Role == role {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}
