package alert

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"strings"

	"holdfast.dev/holdfast/internal/record/alert/send"
	"holdfast.dev/holdfast/internal/record/event"
)

// Rule is an Alert, with what there is to know of its Provider without reading a Secret.
type Rule struct {
	Namespace, Name  string
	Severity         string // info, also when empty, or error
	Sources          []Source
	Include, Exclude []string // regular expressions; Exclude wins
	Metadata         map[string]string
	Summary          string
	Suspended        bool
	Provider         Provider
}

// Source says which objects a Rule is about.
type Source struct {
	Kind, Namespace string
	Name            string // an asterisk is any
	Labels          map[string]string
}

// Provider is what a Rule sends to, in the Rule's namespace.
type Provider struct {
	Name, Type, UID string
	Missing         bool // there is none with this name
	Suspended       bool
	// StatusName names the commit status for an event; nil means the default name.
	StatusName func(ctx context.Context, said event.Event) (string, error)
}

// labels returns the labels of an event's object. It is asked only where a rule looks at labels.
type labels func() (map[string]string, error)

// concerns tells whether a rule is about an event's object.
func (r Rule) concerns(said event.Event, of labels) (bool, error) {
	object := said.InvolvedObject
	for _, source := range r.Sources {
		namespace := source.Namespace
		if namespace == "" {
			namespace = r.Namespace
		}
		if object.Kind != source.Kind || object.Namespace != namespace || source.Name != "*" && source.Name != object.Name {
			continue
		}
		if len(source.Labels) == 0 {
			return true, nil
		}
		has, err := of()
		if err != nil {
			return false, fmt.Errorf("reading the labels of %s: %w", said.Object(), err)
		}
		if covers(has, source.Labels) {
			return true, nil
		}
	}
	return false, nil
}

func covers(has, wanted map[string]string) bool {
	for key, value := range wanted {
		if has[key] != value {
			return false
		}
	}
	return true
}

// admits tells whether a rule lets the event itself pass: by severity and by the lists. A list that
// cannot be read is told, and what is right in it counts.
func (r Rule) admits(said event.Event) (bool, error) {
	if r.Severity == event.Error && said.Severity != event.Error {
		return false, nil
	}
	excluded, wrong := matchesAny(r.Exclude, said.Message)
	if excluded {
		return false, wrong
	}
	if len(r.Include) == 0 {
		return true, wrong
	}
	included, alsoWrong := matchesAny(r.Include, said.Message)
	if wrong == nil {
		wrong = alsoWrong
	}
	return included, wrong
}

func matchesAny(expressions []string, text string) (found bool, wrong error) {
	for _, expression := range expressions {
		compiled, err := regexp.Compile(expression)
		switch {
		case err != nil:
			wrong = fmt.Errorf("reading the expression %q in the inclusion or exclusion list: %w", expression, err)
		case compiled.MatchString(text):
			return true, wrong
		}
	}
	return false, wrong
}

// takes tells whether a provider of this type is told of an event at all: what only sets the status
// of a commit goes to those that set one, and they take nothing else but failures of a commit.
func (p Provider) takes(said event.Event) bool {
	if !send.SetsStatus(p.Type) {
		return !said.StatusUpdate()
	}
	return said.StatusUpdate() || said.Metadata[event.Group+"/"+event.CommitKey] != "" ||
		said.Severity == event.Error && strings.Contains(said.Revision(), "sha1:")
}

// enriched returns the event with the metadata that a message shows, without prefixes: what people
// wrote on the object, what the alert adds, and above both what the controller says.
func (r Rule) enriched(said event.Event) event.Event {
	combined := map[string]string{}
	under := func(prefix string) {
		for key, value := range said.Metadata {
			if short, found := strings.CutPrefix(key, prefix+"/"); found {
				combined[short] = value
			}
		}
	}
	under(event.Group)
	maps.Copy(combined, r.Metadata)
	if r.Summary != "" {
		combined[event.SummaryKey] = r.Summary
	}
	under(said.Group())
	delete(combined, event.TokenKey)
	said.Metadata = combined
	return said
}
