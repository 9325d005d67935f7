package settle_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/pipeline/settle"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestJudge(t *testing.T) {
	pending := release.Release{Number: 2, Verdict: release.Pending}
	minute := settle.Policy{Bake: time.Minute}
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	cases := map[string]struct {
		why     string
		sight   settle.Sight
		policy  settle.Policy
		want    settle.Ruling
		trigger release.Trigger
	}{
		"OnItsWay":     {why: "patience", sight: settle.Sight{Pending: 1, Awaited: true, Waited: time.Second, Timeout: time.Minute}, policy: minute, want: settle.LookAgain},
		"TimedOut":     {why: "not for ever", sight: settle.Sight{Pending: 1, Awaited: true, Waited: time.Minute, Timeout: time.Minute, Bad: ago(time.Minute)}, policy: minute, want: settle.Condemn, trigger: release.TimedOut},
		"NotAwaited":   {why: "a unit that does not wait for health has no timeout", sight: settle.Sight{Pending: 1, Waited: time.Hour, Timeout: time.Minute}, policy: minute, want: settle.LookAgain},
		"Failed":       {why: "a failure is final at once", sight: settle.Sight{Failed: 1, Pending: 3, Timeout: time.Minute, Bad: ago(settle.Grace)}, policy: minute, want: settle.Condemn, trigger: release.Unhealthy},
		"Hiccup":       {why: "but not one that is over in a moment", sight: settle.Sight{Failed: 1, Timeout: time.Minute, Bad: ago(settle.Grace / 2)}, policy: minute, want: settle.LookAgain},
		"Baking":       {why: "healthy is not good yet", sight: settle.Sight{Healthy: ago(59 * time.Second), Was: true}, policy: minute, want: settle.Bake},
		"Baked":        {why: "it is when it stays so", sight: settle.Sight{Healthy: ago(time.Minute), Was: true}, policy: minute, want: settle.Praise},
		"NoBake":       {why: "or at once where that is wished", sight: settle.Sight{Healthy: now, Was: true}, want: settle.Praise},
		"Regressed":    {why: "what fails during the bake is the release's doing", sight: settle.Sight{Failed: 1, Was: true, Bad: ago(time.Hour)}, policy: minute, want: settle.Condemn, trigger: release.Regressed},
		"Wobbling":     {why: "unready again during the bake is given time", sight: settle.Sight{Pending: 1, Awaited: true, Was: true, Waited: time.Second, Timeout: time.Minute}, policy: minute, want: settle.LookAgain},
		"NeverBack":    {why: "and not for ever either", sight: settle.Sight{Pending: 1, Awaited: true, Was: true, Waited: time.Minute, Timeout: time.Minute, Bad: ago(time.Hour)}, policy: minute, want: settle.Condemn, trigger: release.Regressed},
		"Outage":       {why: "no release is to blame when everything fails", sight: settle.Sight{Failed: 1, Outage: true, Bad: ago(time.Hour)}, policy: minute, want: settle.Postpone},
		"HealthyInOne": {why: "an outage does not hurt a release that is fine", sight: settle.Sight{Healthy: ago(time.Hour), Was: true, Outage: true}, policy: minute, want: settle.Praise},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, trigger := settle.Judge(pending, tc.sight, tc.policy, now)
			if got != tc.want || trigger != tc.trigger {
				t.Errorf("%s: ruling %d %q, want %d %q", tc.why, got, trigger, tc.want, tc.trigger)
			}
		})
	}
}

func TestPass(t *testing.T) {
	good := release.Release{Number: 1, Fingerprint: "a", Verdict: release.Good}
	bad := release.Release{Number: 5, Fingerprint: "b", Verdict: release.Pending}
	undone := func(number int64, ago time.Duration, trigger release.Trigger) release.Release {
		return release.Release{Number: number, Fingerprint: "x", Verdict: release.RolledBack, Trigger: trigger, Target: 1, Decided: now.Add(-ago)}
	}
	cases := map[string]struct {
		why    string
		book   release.Book
		bad    release.Release
		policy settle.Policy
		want   settle.Sentence
	}{
		"Back":        {"to the last good one", release.Book{bad, good}, bad, settle.Policy{}, settle.Sentence{Target: 1}},
		"First":       {"a first release has no target", release.Book{bad}, bad, settle.Policy{}, settle.Sentence{Note: "there is no earlier good release to go back to"}},
		"OnlyBad":     {"nor has one after bad ones", release.Book{bad, {Number: 4, Verdict: release.Failed}}, bad, settle.Policy{}, settle.Sentence{Note: "there is no earlier good release to go back to"}},
		"Disabled":    {"where nobody wants it", release.Book{bad, good}, bad, settle.Policy{Disabled: true}, settle.Sentence{Note: "rollback is disabled for this unit"}},
		"ForwardUnit": {"where the unit has no way back", release.Book{bad, good}, bad, settle.Policy{ForwardOnly: true}, settle.Sentence{Note: "the unit is forward-only"}},
		"Forward":     {"where the release has none", release.Book{bad, good}, release.Release{Number: 5, Fingerprint: "b", ForwardOnly: "Job/x is a migration"}, settle.Policy{}, settle.Sentence{Note: "the release is forward-only: Job/x is a migration"}},
		"Itself":      {"going from a release to itself changes nothing", release.Book{{Number: 5, Fingerprint: "a"}, good}, release.Release{Number: 5, Fingerprint: "a"}, settle.Policy{}, settle.Sentence{Note: "it is the last good release itself that fails"}},
		"Superseded":  {"a pending one before it is no place to stand", release.Book{bad, {Number: 4, Verdict: release.Pending}, good}, bad, settle.Policy{}, settle.Sentence{Target: 1}},
		"Flapping":    {"after three in an hour the fourth freezes", release.Book{bad, undone(4, 5*time.Minute, release.Unhealthy), undone(3, 20*time.Minute, release.TimedOut), undone(2, 59*time.Minute, release.ApplyError), good}, bad, settle.Policy{}, settle.Sentence{Target: 1, Freeze: true}},
		"Slow":        {"older ones do not count", release.Book{bad, undone(4, 5*time.Minute, release.Unhealthy), undone(3, 20*time.Minute, release.TimedOut), undone(2, 61*time.Minute, release.ApplyError), good}, bad, settle.Policy{}, settle.Sentence{Target: 1}},
		"ByHand":      {"nor do those that people asked for", release.Book{bad, undone(4, 5*time.Minute, release.Manual), undone(3, 20*time.Minute, release.Manual), undone(2, 30*time.Minute, release.ApplyError), good}, bad, settle.Policy{}, settle.Sentence{Target: 1}},
		"AfterManual": {"a person's choice of an older release outlives the next failure", release.Book{bad, {Number: 4, Fingerprint: "d", Verdict: release.RolledBack, Trigger: release.Manual, Target: 1}, {Number: 3, Fingerprint: "c", Verdict: release.Good}, good}, bad, settle.Policy{}, settle.Sentence{Target: 1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, settle.Pass(tc.book, tc.bad, tc.policy, now)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.why, diff)
			}
		})
	}
}
