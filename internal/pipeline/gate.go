package pipeline

import (
	"context"
	"errors"

	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/check"
)

// checked is what a set passed under; it is judged again when one of these is another.
type checked struct {
	fingerprint string // of what was rendered; empty where the verdict may change
	version     string // of the judges
	allowed     string
}

// check judges what was rendered, once for each fingerprint, as long as no judge has become of another
// opinion and nothing is to be deleted that was not when it passed.
func (p *pass) check(ctx context.Context, rendered Rendered, fingerprint string) (check.Passed, error) {
	u := p.unit
	now := checked{rendered.Fingerprint, check.Version(p.job.Unit, p.Judges), p.job.Allowed}
	if now.fingerprint != "" && u.checked == now && !p.moreDoomed() {
		return u.passed, nil
	}
	passed, err := check.Run(ctx, p.set(rendered, fingerprint), p.Judges...)
	if err != nil {
		u.checked = checked{}
		return check.Passed{}, err
	}
	u.passed, u.checked, u.doomed = passed, checked{}, nil
	if passed.Complete() && p.job.Render.Fingerprint() == "" {
		u.checked = now
	}
	for _, ref := range check.Stale(p.job.Inventory, passed.Objects()) {
		if u.doomed == nil {
			u.doomed = map[object.Ref]bool{}
		}
		u.doomed[ref.Key()] = true
	}
	return passed, nil
}

// moreDoomed tells whether something would be deleted that the judges have not seen.
func (p *pass) moreDoomed() bool {
	if !p.job.Prune {
		return false
	}
	for _, ref := range check.Stale(p.job.Inventory, p.unit.passed.Objects()) {
		if !p.unit.doomed[ref.Key()] {
			return true
		}
	}
	return false
}

// set shows the judges what is wanted and what is known around it.
func (p *pass) set(rendered Rendered, fingerprint string) check.Set {
	return check.Set{
		Unit: p.job.Unit, Objects: rendered.Objects, Kinds: p.job.Site.Cluster, Cluster: p.job.Site.Cluster,
		Owned: p.job.Inventory, Prune: p.job.Prune, Allowed: p.job.Allowed, Force: p.job.Force,
		Before: func(ctx context.Context) ([]object.Object, error) { return p.before(ctx, fingerprint) },
		Heirs: func(ctx context.Context, given []object.Ref) []object.Ref {
			ours, _ := p.job.Heirs.leave(ctx, given)
			return ours
		},
		Hidden: append(append([]redact.Text(nil), rendered.Revealed...), p.unit.secrets.variables...),
		Read:   rendered.Read,
	}
}

// before returns the objects that stand, unless they are what is wanted.
func (p *pass) before(ctx context.Context, fingerprint string) ([]object.Object, error) {
	standing, found := p.unit.book.Standing()
	if !found || standing.Fingerprint == fingerprint {
		return nil, nil
	}
	stood, err := p.objects(ctx, standing.Number)
	if err != nil {
		return nil, err
	}
	return stood.set.Objects(), nil
}

// findingsOf returns what refused a wish, cleared of secrets, where it was refused by judges.
func (u *unit) findingsOf(err error) []finding.Finding {
	var refused *finding.Refused
	if !errors.As(err, &refused) {
		return nil
	}
	return u.clear(refused.Findings)
}

// clear takes the values of secrets out of findings: a rule's own words may repeat what it looked at.
func (u *unit) clear(findings []finding.Finding) []finding.Finding {
	const most = 1000 // of which anybody reads
	if len(findings) == 0 {
		return nil
	}
	mask := u.masking()
	cleared := make([]finding.Finding, min(len(findings), most))
	for i := range cleared {
		cleared[i] = findings[i]
		cleared[i].Message, cleared[i].Advice = mask.Out(findings[i].Message), mask.Out(findings[i].Advice)
	}
	return cleared
}
