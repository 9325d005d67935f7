package release

import (
	"slices"
	"time"
)

// Book is what is known of a unit's releases, the newest first.
type Book []Release

// Latest returns the newest release of which something may be in the cluster.
func (b Book) Latest() (Release, bool) {
	return b.find(Release.Written)
}

// LastGood returns the newest good release.
func (b Book) LastGood() (Release, bool) {
	return b.find(func(r Release) bool { return r.Verdict == Good })
}

// Standing returns the release that the cluster is on, or is on its way to: the latest one, or the
// one that was gone back to.
func (b Book) Standing() (Release, bool) {
	latest, found := b.Latest()
	if found && latest.Undone() {
		return b.Numbered(latest.Target)
	}
	return latest, found
}

// Numbered returns a release by its number.
func (b Book) Numbered(number int64) (Release, bool) {
	return b.find(func(r Release) bool { return r.Number == number })
}

// Next returns the number of the next release.
func (b Book) Next() int64 {
	if len(b) == 0 {
		return 1
	}
	return b[0].Number + 1
}

// Wanted returns the newest release of a fingerprint that the cluster is on, or was before what is being
// undone. Its objects are kept, so that they need not be made again.
func (b Book) Wanted(fingerprint string) (Release, bool) {
	latest, _ := b.Latest()
	standing, _ := b.Standing()
	for _, one := range []Release{latest, standing} {
		if one.Number != 0 && one.Fingerprint == fingerprint {
			return one, true
		}
	}
	return Release{}, false
}

// Answered tells whether a request was carried out, or is being.
func (b Book) Answered(token string) bool {
	_, found := b.find(func(r Release) bool { return r.Answers(token) })
	return found
}

// With returns the book with a release added, or replaced where its number is there already.
func (b Book) With(one Release) Book {
	at := slices.IndexFunc(b, func(r Release) bool { return r.Number <= one.Number })
	switch {
	case at < 0:
		return append(slices.Clone(b), one)
	case b[at].Number == one.Number:
		changed := slices.Clone(b)
		changed[at] = one
		return changed
	default:
		return slices.Insert(slices.Clone(b), at, one)
	}
}

// Rollbacks counts the automatic rollbacks that were decided since a time.
func (b Book) Rollbacks(since time.Time) int {
	count := 0
	for _, r := range b {
		if r.Undone() && r.Trigger != Manual && r.Decided.After(since) {
			count++
		}
	}
	return count
}

// Keep says how many releases stay in a book, beside the last good one and what a rollback leads to.
const Keep = 10

// Cut returns the book without what is too old to be kept, and what was cut off.
func (b Book) Cut() (kept, cut Book) {
	good, _ := b.LastGood()
	standing, _ := b.Standing()
	for i, r := range b {
		if i < Keep || r.Number == good.Number || r.Number == standing.Number {
			kept = append(kept, r)
			continue
		}
		cut = append(cut, r)
	}
	return kept, cut
}

func (b Book) find(wanted func(Release) bool) (Release, bool) {
	if at := slices.IndexFunc(b, wanted); at >= 0 {
		return b[at], true
	}
	return Release{}, false
}
