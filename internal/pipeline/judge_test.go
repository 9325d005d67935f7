package pipeline

import (
	"strings"
	"testing"
	"time"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/observe"
)

func TestDecide(t *testing.T) {
	one := []judged{{ref: object.Ref{Kind: "Deployment", Namespace: "web", Name: "shop"}}}
	cases := map[string]struct {
		why    string
		in     verdict
		waited time.Duration
		want   action
	}{
		"AllFine":          {why: "nothing is left to wait for", want: keep},
		"FineAfterTimeout": {why: "late is still fine", waited: time.Hour, want: keep},
		"Pending":          {why: "there is time left", in: verdict{pending: one}, waited: time.Second, want: lookAgain},
		"OutOfTime":        {why: "the timeout is a promise", in: verdict{pending: one}, waited: time.Minute, want: timeOut},
		"Failed":           {why: "a failure is final at once", in: verdict{failed: one, pending: one}, want: giveUp},
		"FailedLate":       {why: "the failure says more than the timeout", in: verdict{failed: one}, waited: time.Hour, want: giveUp},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := decide(tc.in, tc.waited, time.Minute); got != tc.want {
				t.Errorf("%s: decide = %d, want %d", tc.why, got, tc.want)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	ref := object.Ref{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "web", Name: "shop"}
	healthy := func(status observe.Status) observe.Health { return observe.Health{Status: status} }
	cases := map[string]struct {
		why             string
		state           observe.State
		failed, pending int
	}{
		"Unknown":     {why: "what nobody has looked at is not healthy", pending: 1},
		"Absent":      {why: "what is not there is not healthy", state: observe.State{Known: true}, pending: 1},
		"Current":     {why: "fine", state: observe.State{Known: true, Exists: true, Health: healthy(observe.Current)}},
		"InProgress":  {why: "on its way", state: observe.State{Known: true, Exists: true, Health: healthy(observe.InProgress)}, pending: 1},
		"Terminating": {why: "on its way out", state: observe.State{Known: true, Exists: true, Health: healthy(observe.Terminating)}, pending: 1},
		"Failed":      {why: "will not get better by itself", state: observe.State{Known: true, Exists: true, Health: healthy(observe.Failed)}, failed: 1},
		"Skipped":     {why: "people chose to leave it alone", state: observe.State{Known: true, Exists: true, Rules: object.Rules{Ignore: true}, Health: healthy(observe.Failed)}},
		"ExpiredJob":  {why: "a Job that finished and was removed did its work", state: observe.State{Known: true, Expired: true}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := judge([]object.Ref{ref}, func(object.Ref) observe.State { return tc.state })
			if len(got.failed) != tc.failed || len(got.pending) != tc.pending {
				t.Errorf("%s: %d failed and %d pending, want %d and %d", tc.why, len(got.failed), len(got.pending), tc.failed, tc.pending)
			}
		})
	}
}

func TestTexts(t *testing.T) {
	many := make([]judged, 25)
	for i := range many {
		many[i] = judged{object.Ref{Kind: "Pod", Namespace: "a", Name: "b"}, observe.Health{Status: observe.Failed, Message: "why"}}
	}
	got := texts(many)
	if !strings.HasPrefix(got, "[Pod/a/b status: 'Failed': why, ") || !strings.HasSuffix(got, ", and 5 more]") {
		t.Errorf("texts = %s", got)
	}
}
