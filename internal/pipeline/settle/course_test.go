package settle_test

import (
	"testing"

	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/pipeline/settle"
)

func TestPlan(t *testing.T) {
	const (
		good  = "sha256:good"
		bad   = "sha256:bad"
		fresh = "sha256:fresh"
	)
	first := release.Release{Number: 1, Fingerprint: good, Verdict: release.Good}
	second := func(verdict release.Verdict, changes ...func(*release.Release)) release.Book {
		one := release.Release{Number: 2, Fingerprint: bad, Verdict: verdict, Target: 1}
		for _, change := range changes {
			change(&one)
		}
		return release.Book{one, first}
	}
	frozen := func(r *release.Release) { r.Frozen = true }
	asked := &release.Request{Token: "t"}
	answered := func(r *release.Release) { r.Request = asked }
	wants := func(fingerprint string) settle.Wish { return settle.Wish{Known: true, Fingerprint: fingerprint} }
	retry := func(wish settle.Wish) settle.Wish { wish.Retry = asked; return wish }
	back := func(wish settle.Wish) settle.Wish { wish.Back = asked; return wish }

	cases := map[string]struct {
		why  string
		book release.Book
		wish settle.Wish
		want settle.Course
	}{
		"First":             {"the first release of all", nil, wants(good), settle.Begin},
		"Same":              {"a commit that renders the same starts nothing", release.Book{first}, wants(good), settle.Deliver},
		"New":               {"a commit that renders differently does", release.Book{first}, wants(fresh), settle.Begin},
		"Pending":           {"a release under way goes on", second(release.Pending), wants(bad), settle.Deliver},
		"Preempted":         {"and a newer one takes its place at once", second(release.Pending), wants(fresh), settle.Begin},
		"FailedStays":       {"what was not rolled back is tried on", second(release.Failed), wants(bad), settle.Deliver},
		"FailedRetry":       {"a person may ask for a new try of it", second(release.Failed), retry(wants(bad)), settle.Begin},
		"Returning":         {"a rollback under way is finished", second(release.RollingBack), wants(bad), settle.GoBack},
		"ReturningBlind":    {"also while the build is broken", second(release.RollingBack), settle.Wish{}, settle.GoBack},
		"ReturningNewer":    {"but a fix pre-empts it", second(release.RollingBack), wants(fresh), settle.Begin},
		"ReturningRevert":   {"and so does a revert", second(release.RollingBack), wants(good), settle.Begin},
		"Held":              {"an undone wish is not tried again", second(release.RolledBack), wants(bad), settle.Hold},
		"HeldFailed":        {"even where going back failed", second(release.RollbackFailed), wants(bad), settle.Hold},
		"HeldBlind":         {"a build that breaks meanwhile changes nothing", second(release.RolledBack), settle.Wish{}, settle.Keep},
		"HeldFix":           {"a new fingerprint ends the hold", second(release.RolledBack), wants(fresh), settle.Begin},
		"HeldRevert":        {"so does the one that the cluster runs", second(release.RolledBack), wants(good), settle.Begin},
		"HeldRetry":         {"so does a person", second(release.RolledBack), retry(wants(bad)), settle.Begin},
		"HeldAnswered":      {"once for each request", second(release.RolledBack, answered), retry(wants(bad)), settle.Hold},
		"Frozen":            {"a frozen unit tries nothing new", second(release.RolledBack, frozen), wants(fresh), settle.Freeze},
		"FrozenSame":        {"nor the old", second(release.RolledBack, frozen), wants(bad), settle.Freeze},
		"FrozenRetry":       {"until somebody acknowledges", second(release.RolledBack, frozen), retry(wants(fresh)), settle.Begin},
		"FrozenRevert":      {"what runs already needs no trying", second(release.RolledBack, frozen), wants(good), settle.Begin},
		"FrozenReturning":   {"the rollback itself is finished first", second(release.RollingBack, frozen), wants(fresh), settle.GoBack},
		"Unknown":           {"without a wish, what stands is kept", release.Book{first}, settle.Wish{}, settle.Keep},
		"UnknownFirst":      {"also where nothing stands", nil, settle.Wish{}, settle.Keep},
		"Back":              {"a person goes back", second(release.Good), back(wants(bad)), settle.GoBack},
		"BackAnswered":      {"once for each request", second(release.RolledBack, answered), back(wants(bad)), settle.Hold},
		"BackFromNothing":   {"there is nothing to go back from", nil, back(wants(good)), settle.Begin},
		"RejectedOnTop":     {"a rejected wish says nothing of the cluster", append(release.Book{{Number: 3, Fingerprint: fresh, Verdict: release.Rejected}}, second(release.Good)...), wants(bad), settle.Deliver},
		"RejectedAgain":     {"it is tried again whenever it is wanted", append(release.Book{{Number: 3, Fingerprint: fresh, Verdict: release.Rejected}}, second(release.Good)...), wants(fresh), settle.Begin},
		"RejectedWhileHeld": {"a hold outlives a rejected fix", append(release.Book{{Number: 3, Fingerprint: fresh, Verdict: release.Rejected}}, second(release.RolledBack)...), wants(bad), settle.Hold},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := settle.Plan(tc.book, tc.wish); got != tc.want {
				t.Errorf("%s: course %d, want %d", tc.why, got, tc.want)
			}
		})
	}
}
