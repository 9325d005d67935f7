package pipeline

import (
	"context"
	"fmt"
	"time"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/check"
)

const (
	// fightWindow and fightLimit say how many corrections of one object in how much time are a
	// fight with another controller rather than a person's change.
	fightWindow = time.Minute
	fightLimit  = 5
	// firstTruce is how long the first put-off correction waits; each further one waits twice as long.
	firstTruce = 10 * time.Second
)

// fights remembers the recent corrections of objects, by Ref.Key.
type fights map[object.Ref]*fight

type fight struct {
	count  int       // corrections in a row, each within the window after the one before
	last   time.Time // the latest correction
	truces int
	until  time.Time // end of the latest truce
}

// review finds the objects that drifted and decides whose correction is put off. It returns those,
// and the time until the first of them is due; out tells people about truces that begin now.
func (f fights) review(ctx context.Context, now time.Time, job Job, set check.Passed, memory apply.Memory, live liveView, out *Outcome) (map[object.Ref]bool, time.Duration) {
	var hold map[object.Ref]bool
	var after time.Duration
	for _, wanted := range set.Objects() {
		digest, applied := memory[wanted.Key()]
		state := live.Live(wanted.Ref)
		lost := state.Known && !state.Exists && !wanted.Rules.Expires
		taken := state.Exists && state.Owner != job.Unit
		if !applied || digest != wanted.Digest || !(state.Drifted || lost || taken) || state.Deleting {
			continue
		}
		one := f[wanted.Key()]
		if one == nil {
			one = &fight{}
			f[wanted.Key()] = one
		}
		begins, wait := one.correct(now, job.Interval)
		if wait == 0 {
			continue
		}
		if hold == nil {
			hold = map[object.Ref]bool{}
		}
		hold[wanted.Key()] = true
		if after == 0 || wait < after {
			after = wait
		}
		if begins {
			out.contested = append(out.contested, record.Touched{Ref: wanted.Ref, File: wanted.Source})
			out.Contested = append(out.Contested, fmt.Sprintf(
				"%s was corrected %d times within %s and is changed again by %s; the next correction is put off by %s",
				wanted.Ref, fightLimit, fightWindow, opponent(ctx, job, wanted.Ref, state.Owner, live.manager), wait))
		}
	}
	return hold, after
}

// correct asks to correct an object now. It returns how long that has to wait, 0 for not at all, and
// whether this is the moment at which a truce begins.
func (f *fight) correct(now time.Time, longest time.Duration) (begins bool, wait time.Duration) {
	if now.Equal(f.last) {
		return false, 0 // asked before in the same pass
	}
	if now.Before(f.until) {
		return false, f.until.Sub(now)
	}
	if now.Sub(f.last) > fightWindow && now.Sub(f.until) > fightWindow {
		*f = fight{}
	}
	if f.count < fightLimit || f.until.After(f.last) {
		f.count++
		f.last = now
		return false, 0
	}
	wait = firstTruce << min(f.truces, 10)
	if longest > firstTruce {
		wait = min(wait, longest)
	}
	f.truces++
	f.until = now.Add(wait)
	return true, wait
}

// opponent names who changed the object last, beside us, for the message.
func opponent(ctx context.Context, job Job, ref object.Ref, owner object.Owner, ours string) string {
	const unknown = "somebody"
	if owner != job.Unit && owner.Name != "" {
		return "unit " + owner.String() + ", which wants it, too"
	}
	live, err := job.Site.Cluster.Get(ctx, ref)
	if err != nil {
		return unknown
	}
	if name := latestOther(live, ours); name != "" {
		return "field manager " + name
	}
	return unknown
}
