package metric

import (
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast.dev/holdfast/internal/record"
)

// DetailTrigger is the key of Entry.Details that says what set off a rollback, in one word.
const DetailTrigger = "trigger"

// The ends of a way that is measured: a commit or a release is live when everything is written, and
// good when it is healthy and stayed so.
const (
	live = "live"
	good = "good"
)

type releaseMetrics struct {
	stages    *prometheus.HistogramVec
	releases  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	leadTimes *prometheus.HistogramVec
	rollbacks *prometheus.CounterVec
	back      *prometheus.HistogramVec
	held      *prometheus.GaugeVec
	frozen    *prometheus.GaugeVec
	builds    *prometheus.CounterVec
}

func newReleaseMetrics(f factory) releaseMetrics {
	return releaseMetrics{
		stages: f.histogram("holdfast_stage_duration_seconds",
			"How long a stage of a release took.", short(), "stage", "result"),
		releases: f.counter("holdfast_releases_total",
			"Releases that came to an end: good, failed, rejected or superseded.", "kind", "result"),
		durations: f.histogram("holdfast_release_duration_seconds",
			"Time from the first write of a release until it was live, and until it was good.", long(), "kind", "until"),
		leadTimes: f.histogram("holdfast_lead_time_seconds",
			"Time from the sight of a revision until a unit had it live, and until it was good.", long(), "kind", "until"),
		rollbacks: f.counter("holdfast_rollbacks_total",
			"Rollbacks, by what set them off and how they ended.", "kind", "trigger", "result"),
		back: f.histogram("holdfast_rollback_seconds",
			"Time from the decision to roll back until the last good release was back.", long(), "kind"),
		held: f.gauge("holdfast_unit_held",
			"1 for a unit that is kept on its last good release although Git wants another.", "kind", "namespace", "name"),
		frozen: f.gauge("holdfast_unit_frozen",
			"1 for a unit that was rolled back too often and waits for a person.", "kind", "namespace", "name"),
		builds: f.counter("holdfast_builds_total",
			"Builds that were asked for, by whether an earlier one could be used.", "result"),
	}
}

// buildResults are the words for whether an earlier build served.
var buildResults = map[bool]string{false: "built", true: "known"}

// Build counts a build; known says that an earlier one served.
func (s *Set) Build(known bool) {
	s.releases.builds.WithLabelValues(buildResults[known]).Inc()
}

// Stage measures a stage of a release.
func (s *Set) Stage(stage record.Stage) {
	s.releases.stages.WithLabelValues(stage.Name, results[stage.Failed]).Observe(stage.Took.Seconds())
}

// Hold says whether a unit is held. The entries Held and HoldEnded say it too; this is for holds that
// began before the program started.
func (s *Set) Hold(subject record.Subject, held bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.mark(s.releases.held, subject, held)
}

// Freeze says whether a unit is frozen, as Hold does for holds.
func (s *Set) Freeze(subject record.Subject, frozen bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.mark(s.releases.frozen, subject, frozen)
}

// mark gives a unit a series only while there is something to say; the lock is held.
func (s *Set) mark(gauge *prometheus.GaugeVec, subject record.Subject, on bool) { //nolint:revive // on is what to show, not a way to do it
	if !on {
		gauge.DeleteLabelValues(subject.Kind, subject.Namespace, subject.Name)
		return
	}
	s.storyOf(subject)
	gauge.WithLabelValues(subject.Kind, subject.Namespace, subject.Name).Set(1)
}

// release follows a release from its first write to its verdict; the lock is held.
func (s *Set) release(e record.Entry) {
	kind, known := e.Subject.Kind, s.storyOf(e.Subject)
	switch e.Kind {
	case record.ReleaseBegun:
		known.begun = e.At
	case record.ReleaseApplied:
		s.reached(live, e, known.begun, &known.live)
	case record.ReleaseGood:
		s.reached(live, e, time.Time{}, &known.live) // where nobody said that it was live before
		s.reached(good, e, known.begun, &known.good)
		s.over(e, good)
	case record.ReleaseFailed:
		s.over(e, "failed")
	case record.ReleaseRejected:
		s.over(e, "rejected")
	case record.ReleaseSuperseded:
		s.over(e, "superseded")
	case record.RollbackBegun:
		known.rollback = e.At
	case record.RolledBack, record.RollbackFailed:
		s.releases.rollbacks.WithLabelValues(kind, triggerOf(e), results[e.Kind == record.RollbackFailed]).Inc()
		if e.Kind == record.RolledBack && !known.rollback.IsZero() {
			s.releases.back.WithLabelValues(kind).Observe(e.At.Sub(known.rollback).Seconds())
		}
		known.rollback = time.Time{}
	case record.Held, record.HoldEnded:
		s.mark(s.releases.held, e.Subject, e.Kind == record.Held)
	case record.Frozen, record.Thawed:
		s.mark(s.releases.frozen, e.Subject, e.Kind == record.Frozen)
	default:
	}
}

// reached measures how long a release and its revision took to get somewhere. A revision counts once
// for each unit: a later attempt at it, or a change of the unit's own spec, is not on its way.
func (s *Set) reached(until string, e record.Entry, begun time.Time, counted *string) {
	if !begun.IsZero() {
		s.releases.durations.WithLabelValues(e.Subject.Kind, until).Observe(e.At.Sub(begun).Seconds())
	}
	seen, known := s.seen.at[e.Revision.Name]
	if !known || *counted == e.Revision.Name {
		return
	}
	*counted = e.Revision.Name
	s.releases.leadTimes.WithLabelValues(e.Subject.Kind, until).Observe(e.At.Sub(seen).Seconds())
}

// over counts a release that has its verdict.
func (s *Set) over(e record.Entry, result string) {
	s.releases.releases.WithLabelValues(e.Subject.Kind, result).Inc()
	s.storyOf(e.Subject).begun = time.Time{}
	s.stages(e)
}

func (s *Set) stages(e record.Entry) {
	for _, stage := range e.Stages {
		s.Stage(stage)
	}
}

// triggerOf returns what set off a rollback. It becomes a label, so it must be a word of ours.
func triggerOf(e record.Entry) string {
	for _, candidate := range []string{e.Details[DetailTrigger], e.Reason} {
		if isWord(candidate) {
			return candidate
		}
	}
	return "unknown"
}

// maxWord bounds the words that become labels.
const maxWord = 40

func isWord(text string) bool {
	for _, letter := range text {
		if letter > unicode.MaxASCII || !unicode.IsLetter(letter) && letter != '-' {
			return false
		}
	}
	return text != "" && len(text) <= maxWord
}
