package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/pipeline/phase"
	"holdfast.dev/holdfast/internal/pipeline/settle"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/check"
)

// objects returns what a release consists of. It has passed before, so it may be written again.
func (p *pass) objects(ctx context.Context, number int64) (numbered, error) {
	if p.unit.stood.number == number {
		return p.unit.stood, nil
	}
	objects, err := p.Shelf.Objects(ctx, p.job.Unit, number)
	if err != nil {
		return numbered{}, fmt.Errorf("reading release %d: %w", number, err)
	}
	set, err := check.Again(ctx, p.job.Site.Cluster, objects)
	if err != nil {
		return numbered{}, fmt.Errorf("checking release %d again: %w", number, err)
	}
	kept, hooks := p.parted(set)
	return numbered{number, kept, hooks}, nil
}

// goBack undoes the latest release: it writes the release that is gone back to, deletes what only the
// undone one brought, and waits for health. It is begun by a verdict or by a person, and continued by
// each pass until it is through, after a restart as well.
func (p *pass) goBack(ctx context.Context, asked settle.Wish, out Outcome) Outcome {
	out.Err, out.Phase = nil, Done
	undone, _ := p.unit.book.Latest()
	if asked.Back != nil && !p.unit.book.Answered(asked.Back.Token) {
		var err error
		if undone, err = p.turn(ctx, undone, asked); err != nil {
			return out.fail(err)
		}
	}
	target, err := p.objects(ctx, undone.Target)
	if err != nil {
		return p.lost(ctx, undone, out, err)
	}
	p.unit.stood = target
	if err := p.claim(target.set); err != nil {
		return out.fail(err)
	}
	trial := p.unit.try(undone.Number)
	if trial.back.IsZero() {
		trial.back = p.unit.now
		entry := p.about(record.RollbackBegun, undone)
		entry.Message = fmt.Sprintf("going back from release %d to release %d", undone.Number, undone.Target)
		if err := p.announce(ctx, entry); err != nil {
			trial.back = time.Time{}
			return out.fail(fmt.Errorf("recording the rollback: %w", err))
		}
	}
	out, state := p.aboutToGoBack(ctx, &undone, target, out)
	switch state {
	case waiting:
		return out
	case foiled:
		return p.lost(ctx, undone, out, out.Err)
	}
	out, failure := p.write(ctx, &goal{set: target.set, release: undone}, out)
	switch {
	case failure != nil && apply.Refused(failure):
		return p.lost(ctx, undone, out, failure)
	case failure != nil:
		return out.fail(failure).again(upholdPause)
	case out.Phase != Done:
		return out
	}
	p.unit.applied = target.set
	out, left := p.clear(ctx, undone, target.set, out)
	if out.Phase != Done {
		return out
	}
	return p.arrive(ctx, undone, target, out, left)
}

// aboutToGoBack writes into the ledger that something is undone, and runs the hooks that come before.
func (p *pass) aboutToGoBack(ctx context.Context, undone *release.Release, target numbered, out Outcome) (Outcome, performed) {
	if p.job.Ledger == nil || undone.Verdict != release.RollingBack {
		return out, through
	}
	if undone.Back.Revision == 0 {
		to, _ := p.unit.book.Numbered(undone.Target)
		filed, err := p.job.Ledger.Open(ctx, Act{Release: *undone, Target: to})
		if err != nil {
			return out.fail(fmt.Errorf("writing the rollback to the ledger: %w", err)).again(recordPause), waiting
		}
		undone.Back = filed
		if err := p.end(ctx, *undone); err != nil {
			return out.fail(err).again(recordPause), waiting
		}
	}
	return p.perform(ctx, undone, target.hooks, phase.PreRollback, out)
}

// fileBack writes the end of a rollback into the ledger.
func (p *pass) fileBack(ctx context.Context, undone *release.Release, good bool) error {
	if p.job.Ledger == nil || undone.Back.Revision == 0 || undone.Back.Closed {
		return nil
	}
	err := p.job.Ledger.Close(ctx, undone.Back, End{Good: good, Cause: undone.Note, Runs: undone.Runs})
	undone.Back.Closed = err == nil
	return err
}

// turn begins a rollback that a person asked for.
func (p *pass) turn(ctx context.Context, undone release.Release, asked settle.Wish) (release.Release, error) {
	to, found := settle.Destination(p.unit.book, asked)
	switch {
	case !found && asked.To != 0:
		return undone, fault.Stall("RollbackRefused", fmt.Errorf("release %d is not among those that are kept; see `holdfast history`", asked.To))
	case !found:
		return undone, fault.Stall("RollbackRefused", errors.New("there is no earlier good release to go back to"))
	case to.Number == undone.Number:
		return undone, fault.Stall("RollbackRefused", fmt.Errorf("release %d is the one that stands", to.Number))
	}
	undone.Verdict, undone.Trigger, undone.Target = release.RollingBack, release.Manual, to.Number
	undone.Decided, undone.Request = p.Now(), asked.Back
	undone.Cause = cmp.Or(asked.Back.Reason, "no reason was given")
	if err := p.announce(ctx, p.requested("Rollback", undone)); err != nil {
		return undone, fmt.Errorf("recording the request: %w", err)
	}
	return undone, p.end(ctx, undone)
}

// clear deletes what the undone release brought and the target does not have. Objects that hold data
// are spared, and stay in the inventory.
func (p *pass) clear(ctx context.Context, undone release.Release, target check.Passed, out Outcome) (Outcome, []object.Ref) {
	wanted := make([]object.Ref, 0, len(target.Objects()))
	for _, one := range target.Objects() {
		wanted = append(wanted, one.Ref)
	}
	extra := without(out.Inventory, wanted)
	if !p.job.Prune {
		extra = without(undone.Made, wanted)
	}
	var doomed, spared []object.Ref
	for _, ref := range extra {
		if holdsData(ref) {
			spared = append(spared, ref)
			continue
		}
		doomed = append(doomed, ref)
	}
	pruned, err := p.remove(ctx, doomed)
	out.Pruned = append(out.Pruned, pruned.Changes...)
	out.Inventory = union(wanted, append(pruned.Survivors, spared...))
	if err != nil {
		return out.fail(err).again(upholdPause), spared
	}
	return out, spared
}

// holdsData tells whether deleting an object would take data or other objects along (rollback.md).
func holdsData(ref object.Ref) bool {
	switch ref.Group + "/" + ref.Kind {
	case "/PersistentVolumeClaim", "/PersistentVolume", "/Namespace", "apiextensions.k8s.io/CustomResourceDefinition":
		return true
	default:
		return false
	}
}

// arrive waits for the health of what was gone back to, and ends the rollback.
func (p *pass) arrive(ctx context.Context, undone release.Release, target numbered, out Outcome, left []object.Ref) Outcome {
	if undone.Verdict != release.RollingBack {
		return p.held(undone, out)
	}
	excused := map[object.Ref]bool{}
	for _, ref := range undone.Baseline {
		excused[ref.Key()] = true
	}
	refs := p.job.checks(target.set)
	awaited := len(refs) > 0
	if !awaited {
		for _, one := range target.set.Objects() {
			if p.Family == object.Kustomizations || p.minds(one) {
				refs = append(refs, one.Ref)
			}
		}
	}
	found := judge(refs, p.job.Site.Observer.State).without(excused)
	waited := p.unit.now.Sub(p.unit.try(undone.Number).back)
	switch {
	case len(found.failed) > 0 && waited >= settle.Grace*5:
		return p.lost(ctx, undone, out, found.failure(waited))
	case len(found.failed) > 0:
		return p.returning(undone, out, found).again(settle.Grace)
	case len(found.pending) > 0 && awaited && waited >= p.job.Timeout:
		return p.lost(ctx, undone, out, found.timeout(waited))
	case len(found.pending) > 0 && waited < p.job.Timeout:
		return p.returning(undone, out, found).again(p.job.Timeout - waited)
	}
	out, state := p.perform(ctx, &undone, target.hooks, phase.PostRollback, out)
	switch state {
	case waiting:
		return out
	case foiled:
		return p.lost(ctx, undone, out, out.Err)
	}
	undone.Verdict, undone.Ended = release.RolledBack, p.Now()
	if len(left) > 0 {
		undone.Note = "left in place, since they may hold data: " + list(left)
	}
	return p.close(ctx, undone, out, record.RolledBack)
}

// returning parks a rollback that waits for health.
func (p *pass) returning(undone release.Release, out Outcome, found verdict) Outcome {
	message := fmt.Sprintf("going back to release %d: %s; the cause: %s", undone.Target, found.pendingList(), undone.Cause)
	return out.fail(fault.Wait("RollingBack", 0, errors.New(message)))
}

// lost ends a rollback that did not come to a good end.
func (p *pass) lost(ctx context.Context, undone release.Release, out Outcome, why error) Outcome {
	if undone.Verdict == release.RollingBack {
		undone.Verdict, undone.Ended = release.RollbackFailed, p.Now()
		undone.Note = shortened(p.unit.hide("going back to release " + fmt.Sprint(undone.Target) + " failed: " + why.Error()))
	}
	return p.close(ctx, undone, out, record.RollbackFailed)
}

// close ends a rollback, and holds Git's wish.
func (p *pass) close(ctx context.Context, undone release.Release, out Outcome, kind record.Kind) Outcome {
	if before, _ := p.unit.book.Numbered(undone.Number); before.Verdict == undone.Verdict {
		return p.held(undone, out)
	}
	if err := p.fileBack(ctx, &undone, undone.Verdict == release.RolledBack); err != nil {
		return out.fail(err).again(recordPause)
	}
	entry := p.about(kind, undone)
	entry.Message = strings.TrimSpace(fmt.Sprintf("release %d gave way to release %d. %s", undone.Number, undone.Target, undone.Note))
	entry.Details = map[string]string{
		"to": fmt.Sprint(undone.Target), "trigger": string(undone.Trigger),
		"seconds": fmt.Sprintf("%.3f", undone.Ended.Sub(undone.Decided).Seconds()),
	}
	p.conclusion(ctx, entry)
	held := p.about(record.Held, undone)
	held.Message = fmt.Sprintf("what Git wants is held; the cluster is kept on release %d", undone.Target)
	p.conclusion(ctx, held)
	if err := p.end(ctx, undone); err != nil {
		return out.fail(err).again(recordPause)
	}
	return p.held(undone, out)
}

// hold keeps the cluster on the standing release: it is what is wanted now.
func (p *pass) hold(ctx context.Context, out Outcome) Outcome {
	undone, _ := p.unit.book.Latest()
	target, err := p.standing(ctx)
	if err != nil {
		return p.held(undone, out.fail(err)).again(upholdPause)
	}
	p.unit.stood = target
	if err := p.claim(target.set); err != nil {
		return out.fail(err)
	}
	if p.unit.early(p.job, p.live) {
		return p.held(undone, out).again(lookPause)
	}
	out, failure := p.write(ctx, &goal{set: target.set, release: undone}, out)
	p.unit.applied = target.set
	out = p.held(undone, out)
	if failure != nil {
		out.Err = also(out.Err, failure)
		return out.again(upholdPause)
	}
	return out
}

// held says that Git wants one thing, and the cluster is kept on another.
func (p *pass) held(undone release.Release, out Outcome) Outcome {
	standing, _ := p.unit.book.Standing()
	reason := string(undone.Verdict)
	switch {
	case undone.Frozen:
		reason = "Frozen"
	case undone.Verdict == release.RollingBack:
		reason = "RollingBack"
	}
	out.Held = true
	out.Phase, out.Err = Failed, fault.Stall(reason, errors.New(p.explain(undone, standing)))
	return out
}

// explain says in one sentence what Git wants, what the cluster runs, why, and what to do.
func (p *pass) explain(undone, standing release.Release) string {
	wants := cmp.Or(p.job.Label.Revision, undone.Label.Revision)
	if author := cmp.Or(p.job.Label.Author, undone.Label.Author); author != "" {
		wants += " (" + author + ")"
	}
	text := fmt.Sprintf("Git wants %s; the cluster runs release %d, %s, since %s: %s",
		wants, standing.Number, standing.Label.Revision, undone.Decided.UTC().Format(time.RFC3339), undone.Cause)
	if undone.Note != "" {
		text += "; " + undone.Note
	}
	if undone.Frozen {
		return fmt.Sprintf("%s; rolled back too often within an hour, so that nothing is tried any more until `holdfast retry %s -n %s`",
			text, p.job.Unit.Name, p.job.Unit.Namespace)
	}
	return fmt.Sprintf("%s; commit a fix, or try it once more with `holdfast retry %s -n %s`", text, p.job.Unit.Name, p.job.Unit.Namespace)
}
