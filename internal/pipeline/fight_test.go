package pipeline

import (
	"testing"
	"time"
)

func TestFight(t *testing.T) {
	// Each step is some time after the one before; the first is at the start.
	type step struct {
		after      time.Duration
		wantBegins bool
		wantWait   time.Duration
	}
	quick := func(n int) []step {
		steps := make([]step, n)
		for i := range steps {
			steps[i].after = time.Second
		}
		return steps
	}
	cases := map[string]struct {
		why   string
		steps []step
	}{
		"People":        {why: "a few changes by hand are undone at once", steps: quick(fightLimit)},
		"Controller":    {why: "the sixth in a row begins a truce", steps: append(quick(fightLimit), step{time.Second, true, firstTruce})},
		"DuringTruce":   {why: "a truce is announced once", steps: append(quick(fightLimit), step{time.Second, true, firstTruce}, step{time.Second, false, firstTruce - time.Second})},
		"AfterTruce":    {why: "one correction is tried when it ends", steps: append(quick(fightLimit), step{time.Second, true, firstTruce}, step{firstTruce, false, 0})},
		"LongerTruce":   {why: "undone at once again: twice as long", steps: append(quick(fightLimit), step{time.Second, true, firstTruce}, step{firstTruce, false, 0}, step{time.Second, true, 2 * firstTruce})},
		"QuietInterval": {why: "after a quiet time all is forgotten", steps: append(quick(fightLimit), step{fightWindow + time.Second, false, 0}, step{time.Second, false, 0})},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var one fight
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for i, step := range tc.steps {
				now = now.Add(step.after)
				begins, wait := one.correct(now, time.Hour)
				if begins != step.wantBegins || wait != step.wantWait {
					t.Fatalf("%s: step %d: begins %v, wait %s; want %v, %s", tc.why, i, begins, wait, step.wantBegins, step.wantWait)
				}
			}
		})
	}
}

func TestFightNeverWaitsLongerThanTheInterval(t *testing.T) {
	var one fight
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	longest := time.Duration(0)
	for range 100 {
		_, wait := one.correct(now, 5*time.Minute)
		longest = max(longest, wait)
		now = now.Add(max(wait, time.Second))
	}
	if longest != 5*time.Minute {
		t.Errorf("the longest truce is %s, want the interval", longest)
	}
}
