package settle

import "holdfast.dev/holdfast/internal/model/release"

// Wish is what Git and people want of a unit at the moment.
type Wish struct {
	// Known is false where Git's wish cannot be had: the build fails, or a policy refuses it.
	Known       bool
	Fingerprint string
	// Retry asks for one more try of what is held or frozen; nil where nobody asks.
	Retry *release.Request
	// Back asks to go back to release To, or to the last good one before the standing one where To is 0.
	Back *release.Request
	To   int64
}

// Course is what a pass is to do.
type Course int

const (
	// Deliver brings the cluster to Git's wish, which is the latest release already.
	Deliver Course = iota
	// Begin makes Git's wish a new release.
	Begin
	// GoBack begins or continues to undo the latest release.
	GoBack
	// Hold keeps the cluster on the standing release: Git's wish was tried, and undone.
	Hold
	// Freeze keeps the cluster on the standing release, whatever Git wants.
	Freeze
	// Keep keeps the cluster on the standing release while Git's wish is not known.
	Keep
)

// Plan decides what a pass is to do.
func Plan(book release.Book, wish Wish) Course {
	latest, any := book.Latest()
	standing, stands := book.Standing()
	retry := wish.Retry != nil && !book.Answered(wish.Retry.Token)
	same := any && wish.Known && latest.Fingerprint == wish.Fingerprint
	switch {
	case wish.Back != nil && any && !book.Answered(wish.Back.Token):
		return GoBack
	case !wish.Known && latest.Verdict == release.RollingBack:
		return GoBack
	case !wish.Known:
		return Keep
	case retry:
		return Begin
	case any && !latest.Undone() && same:
		return Deliver
	case any && latest.Undone() && stands && standing.Fingerprint == wish.Fingerprint:
		return Begin // Git came back to what the cluster runs: nothing is left to hold
	case latest.Frozen && latest.Undone():
		return unlessRolling(latest, Freeze)
	case any && latest.Undone() && same:
		return unlessRolling(latest, Hold)
	default:
		return Begin
	}
}

// unlessRolling finishes a rollback that is under way before anything is kept.
func unlessRolling(latest release.Release, otherwise Course) Course {
	if latest.Verdict == release.RollingBack {
		return GoBack
	}
	return otherwise
}
