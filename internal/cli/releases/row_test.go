package releases_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/cli/releases"
	"holdfast.dev/holdfast/internal/model/release"
)

func TestRow(t *testing.T) {
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	one := release.Release{Number: 4, Begun: now.Add(-time.Minute), Label: release.Label{Revision: "main@sha1:abc"}, Counts: release.Counts{Created: 1}}
	cases := map[string]struct {
		why    string
		change func(*release.Release)
		want   []string
	}{
		"Good":   {why: "what is good needs no reason", change: func(r *release.Release) { r.Verdict = release.Good }, want: []string{"4", "Good", "+1 ~0 -0", ""}},
		"Undone": {why: "what was undone says what stands instead, and why", change: func(r *release.Release) { r.Verdict, r.Target, r.Cause = release.RolledBack, 3, "the image" }, want: []string{"4", "RolledBack to 3", "+1 ~0 -0", "the image"}},
		"Frozen": {why: "nothing is tried after it, until somebody acknowledges", change: func(r *release.Release) {
			r.Verdict, r.Target, r.Cause, r.Frozen = release.RolledBack, 3, "the image", true
		}, want: []string{"4", "RolledBack to 3, frozen", "+1 ~0 -0", "the image"}},
		"Failed": {why: "a rollback that failed says why it did, too", change: func(r *release.Release) {
			r.Verdict, r.Target, r.Cause, r.Note = release.RollbackFailed, 3, "the image", "going back to release 3 failed: b is unhealthy"
		}, want: []string{"4", "RollbackFailed to 3", "+1 ~0 -0", "the image; going back to release 3 failed: b is unhealthy"}},
		"Rejected": {why: "nothing was written", change: func(r *release.Release) { r.Verdict, r.Cause = release.Rejected, "the build" }, want: []string{"4", "Rejected", "none", "the build"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			changed := one
			c.change(&changed)
			row := releases.Row(changed, false, now)
			got := []string{row[0].Text, row[1].Text, row[4].Text, row[7].Text}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
	if row := releases.Row(one, true, now); row[0].Text != "4 *" {
		t.Errorf("the one that stands is %q", row[0].Text)
	}
}
