package metric_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/metric"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// series returns what a scrape shows, as "name{label=value} value"; of a histogram its count and sum.
// Only names with one of the prefixes are shown.
func series(t *testing.T, set *metric.Set, prefixes ...string) []string {
	t.Helper()
	families, err := set.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, family := range families {
		wanted := len(prefixes) == 0
		for _, prefix := range prefixes {
			wanted = wanted || strings.HasPrefix(family.GetName(), prefix)
		}
		if !wanted {
			continue
		}
		for _, one := range family.GetMetric() {
			labels := make([]string, 0, len(one.GetLabel()))
			for _, label := range one.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			name := family.GetName() + "{" + strings.Join(labels, ",") + "}"
			switch {
			case one.GetHistogram() != nil:
				lines = append(lines, fmt.Sprintf("%s %d in %g", name, one.GetHistogram().GetSampleCount(), one.GetHistogram().GetSampleSum()))
			case one.GetGauge() != nil:
				lines = append(lines, fmt.Sprintf("%s %g", name, one.GetGauge().GetValue()))
			default:
				lines = append(lines, fmt.Sprintf("%s %g", name, one.GetCounter().GetValue()))
			}
		}
	}
	return lines
}

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	web  = record.Subject{Kind: "Kustomization", Namespace: "apps", Name: "web"}
	git  = record.Subject{Kind: "GitRepository", Namespace: "apps", Name: "platform"}
)

func newSet() *metric.Set { return metric.New(metric.Options{Now: func() time.Time { return noon }}) }

// tell records entries; at is in seconds after noon.
func tell(t *testing.T, set *metric.Set, entries ...record.Entry) {
	t.Helper()
	for _, e := range entries {
		if err := set.Record(context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
}

func entry(kind record.Kind, about record.Subject, at float64, changes ...func(*record.Entry)) record.Entry {
	e := record.Entry{Kind: kind, Subject: about, At: noon.Add(time.Duration(at * float64(time.Second)))}
	for _, change := range changes {
		change(&e)
	}
	return e
}

func of(revision string) func(*record.Entry) {
	return func(e *record.Entry) { e.Revision.Name = revision }
}

func with(stages ...record.Stage) func(*record.Entry) {
	return func(e *record.Entry) { e.Stages = stages }
}

func touching(kinds ...string) func(*record.Entry) {
	return func(e *record.Entry) {
		for i, kind := range kinds {
			e.Objects = append(e.Objects, record.Touched{Ref: object.Ref{Kind: kind, Name: fmt.Sprint("object-", i)}})
		}
	}
}

func TestEntriesBecomeSeries(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		why     string
		entries []record.Entry
		show    []string
		want    []string
	}{
		"Release": {
			why: "a commit is followed from its sight to its verdict",
			entries: []record.Entry{
				entry(record.RevisionSeen, git, 0, of("main@sha1:1")),
				entry(record.ReleaseBegun, web, 1, of("main@sha1:1")),
				entry(record.ReleaseApplied, web, 3, of("main@sha1:1")),
				entry(record.ReleaseGood, web, 63, of("main@sha1:1"), with(
					record.Stage{Name: "render", Took: 250 * time.Millisecond},
					record.Stage{Name: "apply", Took: 2 * time.Second, Failed: true})),
			},
			show: []string{"holdfast_lead", "holdfast_release", "holdfast_stage"},
			want: []string{
				"holdfast_lead_time_seconds{kind=Kustomization,until=good} 1 in 63",
				"holdfast_lead_time_seconds{kind=Kustomization,until=live} 1 in 3",
				"holdfast_release_duration_seconds{kind=Kustomization,until=good} 1 in 62",
				"holdfast_release_duration_seconds{kind=Kustomization,until=live} 1 in 2",
				"holdfast_releases_total{kind=Kustomization,result=good} 1",
				"holdfast_stage_duration_seconds{result=failure,stage=apply} 1 in 2",
				"holdfast_stage_duration_seconds{result=success,stage=render} 1 in 0.25",
			},
		},
		"SecondAttempt": {
			why: "a later release of the same commit is not on the commit's way",
			entries: []record.Entry{
				entry(record.RevisionSeen, git, 0, of("main@sha1:1")),
				entry(record.ReleaseApplied, web, 3, of("main@sha1:1")), entry(record.ReleaseGood, web, 4, of("main@sha1:1")),
				entry(record.ReleaseApplied, web, 900, of("main@sha1:1")), entry(record.ReleaseGood, web, 901, of("main@sha1:1")),
			},
			show: []string{"holdfast_lead"},
			want: []string{
				"holdfast_lead_time_seconds{kind=Kustomization,until=good} 1 in 4",
				"holdfast_lead_time_seconds{kind=Kustomization,until=live} 1 in 3",
			},
		},
		"UnknownCommit": {
			why: "of a commit that was seen before the program started nobody knows when",
			entries: []record.Entry{
				entry(record.ReleaseBegun, web, 1, of("main@sha1:1")), entry(record.ReleaseGood, web, 4, of("main@sha1:1")),
			},
			show: []string{"holdfast_lead", "holdfast_release_"},
			want: []string{"holdfast_release_duration_seconds{kind=Kustomization,until=good} 1 in 3"},
		},
		"SeenTwice": {
			why: "two sources of one repository see a commit one after the other; it was there at the first sight",
			entries: []record.Entry{
				entry(record.RevisionSeen, git, 0, of("main@sha1:1")), entry(record.RevisionSeen, git, 5, of("main@sha1:1")),
				entry(record.ReleaseApplied, web, 6, of("main@sha1:1")),
			},
			show: []string{"holdfast_lead"},
			want: []string{"holdfast_lead_time_seconds{kind=Kustomization,until=live} 1 in 6"},
		},
		"Rollback": {
			why: "the trigger is a detail, and the time runs from the decision",
			entries: []record.Entry{
				entry(record.ReleaseBegun, web, 0), entry(record.ReleaseFailed, web, 5),
				entry(record.RollbackBegun, web, 6),
				entry(record.RolledBack, web, 8, func(e *record.Entry) { e.Details = map[string]string{metric.DetailTrigger: "health"} }),
				entry(record.Held, web, 8),
			},
			show: []string{"holdfast_rollback", "holdfast_unit", "holdfast_releases"},
			want: []string{
				"holdfast_releases_total{kind=Kustomization,result=failed} 1",
				"holdfast_rollback_seconds{kind=Kustomization} 1 in 2",
				"holdfast_rollbacks_total{kind=Kustomization,result=success,trigger=health} 1",
				"holdfast_unit_held{kind=Kustomization,name=web,namespace=apps} 1",
			},
		},
		"RollbackFailed": {
			why: "what failed has no duration, and a sentence is no label",
			entries: []record.Entry{
				entry(record.RollbackBegun, web, 6),
				entry(record.RollbackFailed, web, 8, func(e *record.Entry) { e.Reason = "Timed out: 3 objects" }),
				entry(record.Frozen, web, 8),
			},
			show: []string{"holdfast_rollback", "holdfast_unit"},
			want: []string{
				"holdfast_rollbacks_total{kind=Kustomization,result=failure,trigger=unknown} 1",
				"holdfast_unit_frozen{kind=Kustomization,name=web,namespace=apps} 1",
			},
		},
		"HoldEnds": {
			why:     "a unit that is as Git wants it has no series",
			entries: []record.Entry{entry(record.Held, web, 0), entry(record.HoldEnded, web, 1), entry(record.Frozen, web, 1), entry(record.Thawed, web, 2)},
			show:    []string{"holdfast_unit"},
		},
		"RemoteHoldEnds": {
			why: "a unit is one resource, wherever it delivers to",
			entries: []record.Entry{
				entry(record.Held, record.Subject{Kind: web.Kind, Namespace: web.Namespace, Name: web.Name, Cluster: "https://far"}, 0),
				entry(record.HoldEnded, web, 1),
			},
			show: []string{"holdfast_unit"},
		},
		"Drift": {
			why: "drift is counted by the kinds of objects",
			entries: []record.Entry{
				entry(record.DriftCorrected, web, 0, touching("ConfigMap", "Deployment", "ConfigMap")),
				entry(record.Contested, web, 0, touching("Deployment")), entry(record.Pruned, web, 0, touching("Job")),
			},
			show: []string{"holdfast_drift", "holdfast_pruned"},
			want: []string{
				"holdfast_drift_contested_total{kind=Deployment} 1",
				"holdfast_drift_total{kind=ConfigMap} 2", "holdfast_drift_total{kind=Deployment} 1",
				"holdfast_pruned_total{kind=Job} 1",
			},
		},
		"Sources": {
			why: "what cannot be reached is told apart from what cannot be trusted",
			entries: []record.Entry{
				entry(record.RevisionSeen, git, 0), entry(record.SourceFailed, git, 0), entry(record.RevisionRejected, git, 0),
			},
			show: []string{"holdfast_source", "holdfast_entries"},
			want: []string{
				"holdfast_entries_total{kind=RevisionRejected} 1", "holdfast_entries_total{kind=RevisionSeen} 1",
				"holdfast_entries_total{kind=SourceFailed} 1",
				"holdfast_source_failures_total{failure=unreachable,kind=GitRepository} 1",
				"holdfast_source_failures_total{failure=unverified,kind=GitRepository} 1",
				"holdfast_source_revisions_total{kind=GitRepository} 1",
			},
		},
		"Retired": {
			why:     "a unit that is gone leaves nothing",
			entries: []record.Entry{entry(record.Held, web, 0), entry(record.Retired, web, 1)},
			show:    []string{"holdfast_unit"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := newSet()
			tell(t, set, c.entries...)
			if diff := cmp.Diff(c.want, series(t, set, c.show...)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
}

func TestRetainDropsWhatIsGone(t *testing.T) {
	t.Parallel()
	set := newSet()
	for _, name := range []string{"web", "gone"} {
		subject := record.Subject{Kind: "Kustomization", Namespace: "apps", Name: name}
		set.Visit(subject)(2)
		set.Hold(subject, true)
		set.Freeze(subject, true)
	}
	set.Visit(git)(0)
	set.Retain("Kustomization", func(_, name string) bool { return name == "web" })
	want := []string{
		"gotk_reconcile_duration_seconds{kind=GitRepository,name=platform,namespace=apps} 1 in 0",
		"gotk_reconcile_duration_seconds{kind=Kustomization,name=web,namespace=apps} 1 in 0",
		"holdfast_unit_frozen{kind=Kustomization,name=web,namespace=apps} 1",
		"holdfast_unit_held{kind=Kustomization,name=web,namespace=apps} 1",
	}
	if diff := cmp.Diff(want, series(t, set, "gotk", "holdfast_unit")); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}

func TestMethodsBecomeSeries(t *testing.T) {
	t.Parallel()
	set := newSet()
	set.Build(true)
	set.Build(false)
	set.Fetch("GitRepository", time.Second, errors.New("no route"))
	set.Request(kube.Request{Verb: "get", Status: 404, Took: time.Millisecond})
	set.Request(kube.Request{Verb: "apply", Status: 409})
	set.Request(kube.Request{Verb: "watch"})
	set.Webhook("github", 200, time.Second)
	set.WebhookRequest("github", nil)
	set.Alert("slack", errors.New("no route"))
	set.AlertQueue(3, time.Minute)
	set.FollowAudit(func() time.Duration { return time.Second })
	full := errors.New("disk full")
	kept := set.Audited(record.Func(func(_ context.Context, e record.Entry) error {
		if e.Kind == record.Held {
			return full
		}
		return nil
	}))
	if err := kept.Record(t.Context(), entry(record.Held, web, 0)); !errors.Is(err, full) {
		t.Errorf("the audit log's error got lost: %v", err)
	}
	if err := kept.Record(t.Context(), entry(record.Pruned, web, 0)); err != nil {
		t.Error(err)
	}
	if err := set.Watch(func() observe.Stats { return observe.Stats{Watches: 7, Broken: 1, Records: 40, Events: 9} }); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"holdfast_alert_queue{} 3",
		"holdfast_alert_queue_seconds{} 60",
		"holdfast_alerts_total{provider=slack,result=failure} 1",
		"holdfast_api_request_seconds{verb=apply} 1 in 0",
		"holdfast_api_request_seconds{verb=get} 1 in 0.001",
		"holdfast_api_requests_total{code=0,verb=watch} 1",
		"holdfast_api_requests_total{code=409,verb=apply} 1",
		"holdfast_api_requests_total{code=4xx,verb=get} 1",
		"holdfast_audit_append_seconds{} 2 in 0",
		"holdfast_audit_appends_total{result=failure} 1",
		"holdfast_audit_appends_total{result=success} 1",
		"holdfast_audit_lag_seconds{} 1",
		"holdfast_builds_total{result=built} 1",
		"holdfast_builds_total{result=known} 1",
		"holdfast_source_fetch_seconds{kind=GitRepository,result=failure} 1 in 1",
		"holdfast_watch_events_total{} 9",
		"holdfast_watch_wakes_total{} 0",
		"holdfast_watched_bytes{} 0",
		"holdfast_watched_objects{} 40",
		"holdfast_watched_units{} 0",
		"holdfast_watches{} 7",
		"holdfast_watches_broken{} 1",
		"holdfast_webhook_requests_total{result=success,type=github} 1",
		"holdfast_webhook_seconds{type=github} 1 in 1",
		"holdfast_webhooks_total{code=200,type=github} 1",
	}
	if diff := cmp.Diff(want, series(t, set)); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}

// TestManySetsInOneProcess: tests run several operators at once, and units come and go meanwhile.
func TestManySetsInOneProcess(t *testing.T) {
	t.Parallel()
	one, two := newSet(), newSet()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			subject := record.Subject{Kind: "Kustomization", Namespace: "apps", Name: fmt.Sprint("unit-", i)}
			for n := range 200 {
				set := []*metric.Set{one, two}[n%2]
				tell(t, set, entry(record.RevisionSeen, git, 0, of(fmt.Sprint(i, n))), entry(record.Held, subject, 0))
				set.Visit(subject)(1)
				if n%20 == 0 {
					set.Forget(subject)
					series(t, set)
				}
			}
			one.Forget(subject)
		})
	}
	group.Wait()
	if got := series(t, one, "holdfast_unit", "gotk"); got != nil {
		t.Errorf("left over: %v", got)
	}
	if got := series(t, two, "holdfast_unit"); len(got) != 8 {
		t.Errorf("the other set has %d held units, want 8", len(got))
	}
}
