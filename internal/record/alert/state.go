package alert

import (
	"slices"
	"strings"
	"time"

	"holdfast.dev/holdfast/internal/record/event"
)

// state is what the readers of one alert know of one object.
type state struct {
	Failing bool `json:"failing,omitempty"`
	// Reason, Revision and Gist are those of the last failure that was told, or of the last status.
	Reason   string    `json:"reason,omitempty"`
	Revision string    `json:"revision,omitempty"`
	Gist     string    `json:"gist,omitempty"`
	Told     time.Time `json:"told"`
}

// verdict says what an event means to the readers of an alert.
type verdict int

const (
	silent    verdict = iota // they know
	plain                    // news that is neither failure nor recovery
	fired                    // a failure, or another one
	recovered                // the end of a failure that they were told of
)

// next returns what the readers know after an event, and what the event means to them. A failure is
// told when it begins, when its reason changes, when another revision fails with another message, and
// when nothing was told for a whole reminder interval.
func (s state) next(said event.Event, now time.Time, reminder time.Duration) (state, verdict) {
	if said.Severity != event.Error {
		if s.Failing && succeeded(said.Reason) {
			return state{Told: now}, recovered
		}
		return s, plain
	}
	failing := state{Failing: true, Reason: said.Reason, Revision: said.Revision(), Gist: event.Gist(said.Message), Told: now}
	news := !s.Failing || s.Reason != failing.Reason || now.Sub(s.Told) >= reminder ||
		s.Revision != failing.Revision && s.Gist != failing.Gist
	if !news {
		return s, silent
	}
	return failing, fired
}

// nextStatus is next for providers that set the status of a commit: each commit has one, and it is
// set again only where it is another one.
func (s state) nextStatus(said event.Event, now time.Time) (state, verdict) {
	latest := state{Failing: said.Severity == event.Error, Reason: said.Reason, Revision: said.Revision(), Told: now}
	if s.Told.IsZero() || s.Failing != latest.Failing || s.Reason != latest.Reason || s.Revision != latest.Revision {
		return latest, fired
	}
	return s, silent
}

// succeeded tells whether a reason is that of an object that is well. A rollback that succeeded is
// not: what was wanted is not there.
func succeeded(reason string) bool {
	if strings.HasPrefix(reason, "Rollback") || strings.HasPrefix(reason, "Uninstall") {
		return false
	}
	return strings.HasSuffix(reason, "Succeeded") || slices.Contains([]string{"NewArtifact", "ArtifactUpToDate"}, reason)
}
