package settle

import (
	"slices"
	"time"

	"holdfast.dev/holdfast/internal/model/release"
)

// Policy is how a unit wants its releases judged.
type Policy struct {
	// Disabled leaves a failed release in the cluster.
	Disabled bool
	// ForwardOnly says that there is no way back from any release of the unit.
	ForwardOnly bool
	// Bake is how long a release has to stay healthy to be good; 0 is good at once.
	Bake time.Duration
	// Budget is how many rollbacks an hour may have before the unit is frozen; 0 means 3.
	Budget int
}

const (
	defaultBudget = 3
	budgetTime    = time.Hour
)

// Sight is what was seen of a release after everything of it was written.
type Sight struct {
	// Failed and Pending count objects that are not healthy and were so before the release, or became
	// so with it: what the release stands for.
	Failed, Pending int
	// Awaited says that the unit demands health: objects that do not become healthy in time count as
	// failed. Otherwise only what fails for good counts.
	Awaited bool
	// Waited is how long health has been waited for, of Timeout at most.
	Waited, Timeout time.Duration
	// Healthy is since when all is healthy; zero while it is not, or never was.
	Healthy time.Time
	// Was says that all of the release was healthy once.
	Was bool
	// Bad is since when something speaks against the release; zero while nothing does.
	Bad time.Time
	// Outage says that many units which nobody changed became unhealthy just now.
	Outage bool
}

// Grace is for how long something has to speak against a release before it is condemned: what is
// over at once is no failure, and an outage shows in other units only a moment later.
const Grace = time.Second

// Ruling is what follows from a sight.
type Ruling int

const (
	// LookAgain: too early to tell. An event or the timeout will.
	LookAgain Ruling = iota
	// Bake: healthy, and not for long enough.
	Bake
	// Praise: the release is good.
	Praise
	// Condemn: the release is bad; the trigger says why.
	Condemn
	// Postpone: it looks bad, but so does everything else.
	Postpone
)

// Judge rules on a release that was written as a whole. A good release is never judged again: what
// becomes unhealthy later is not its doing.
func Judge(one release.Release, sight Sight, policy Policy, now time.Time) (Ruling, release.Trigger) {
	trigger := bad(sight)
	switch {
	case trigger != "" && sight.Outage:
		return Postpone, ""
	case trigger != "" && now.Sub(sight.Bad) < Grace:
		return LookAgain, ""
	case trigger != "":
		return Condemn, trigger
	case sight.Pending > 0:
		return LookAgain, ""
	case one.Verdict == release.Good:
		return Praise, ""
	case now.Sub(sight.Healthy) < policy.Bake:
		return Bake, ""
	default:
		return Praise, ""
	}
}

// bad tells what speaks against a release, if anything does.
func bad(sight Sight) release.Trigger {
	late := sight.Awaited && sight.Pending > 0 && sight.Waited >= sight.Timeout
	switch {
	case sight.Failed > 0 && sight.Was:
		return release.Regressed
	case sight.Failed > 0:
		return release.Unhealthy
	case late && sight.Was:
		return release.Regressed
	case late:
		return release.TimedOut
	default:
		return ""
	}
}

// Sentence is what becomes of a bad release.
type Sentence struct {
	// Target is the release to go back to; 0 is none, and Note says why.
	Target int64
	Note   string
	// Freeze says that nothing further is tried until a person acknowledges.
	Freeze bool
}

// Pass decides what becomes of a bad release.
func Pass(book release.Book, bad release.Release, policy Policy, now time.Time) Sentence {
	good, found := refuge(book, bad)
	switch {
	case policy.Disabled:
		return Sentence{Note: "rollback is disabled for this unit"}
	case policy.ForwardOnly:
		return Sentence{Note: "the unit is forward-only"}
	case bad.ForwardOnly != "":
		return Sentence{Note: "the release is forward-only: " + bad.ForwardOnly}
	case !found:
		return Sentence{Note: "there is no earlier good release to go back to"}
	case good.Fingerprint == bad.Fingerprint:
		return Sentence{Note: "it is the last good release itself that fails"}
	}
	budget := policy.Budget
	if budget == 0 {
		budget = defaultBudget
	}
	return Sentence{Target: good.Number, Freeze: book.Rollbacks(now.Add(-budgetTime)) >= budget}
}

// refuge returns the release that was stood on before a bad one, if it was good, or else the newest
// good one: after a person went back to an older release, a newer good one is not to be trusted.
func refuge(book release.Book, bad release.Release) (release.Release, bool) {
	before := slices.DeleteFunc(slices.Clone(book), func(r release.Release) bool { return r.Number >= bad.Number })
	if standing, found := before.Standing(); found && standing.Verdict == release.Good {
		return standing, true
	}
	return before.LastGood()
}

// Destination returns the release that a person asked to go back to.
func Destination(book release.Book, wish Wish) (release.Release, bool) {
	if wish.To != 0 {
		to, found := book.Numbered(wish.To)
		return to, found && to.Written()
	}
	standing, _ := book.Standing()
	for _, one := range book {
		if one.Verdict == release.Good && one.Number < standing.Number && one.Fingerprint != standing.Fingerprint {
			return one, true
		}
	}
	return release.Release{}, false
}
