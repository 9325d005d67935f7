package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"time"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/pipeline/phase"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// wish is what Git wants of a unit, judged.
type wish struct {
	set         check.Passed
	hooks       check.Passed
	like        release.Release // that has these objects; its number is 0 where they were just rendered
	digest      string          // of what was rendered
	fingerprint string          // of that, and of how it is to be applied
}

// wish renders and checks, or takes what is kept of a release that is the same. Without an error the set
// may be written.
func (p *pass) wish(ctx context.Context) (wish, error) {
	if known, found, err := p.known(ctx); found || err != nil {
		return known, err
	}
	var wanted wish
	if digest := p.job.Render.Fingerprint(); digest != "" {
		wanted.digest, wanted.fingerprint = digest, fingerprint(digest, p.job)
	}
	rendered, err := step(ctx, p, "render", p.job.Render.Render)
	if err != nil {
		return wanted, fault.Because(fault.ReasonOf(err, "BuildFailed"), err)
	}
	p.unit.secrets.reveal(rendered.Revealed)
	wanted.digest = rendered.Fingerprint
	wanted.fingerprint = fingerprint(rendered.Fingerprint, p.job)
	passed, err := step(ctx, p, "check", func(ctx context.Context) (check.Passed, error) {
		return p.check(ctx, rendered, wanted.fingerprint)
	})
	wanted.set, wanted.hooks = p.parted(passed)
	return wanted, err
}

// known returns the wish where it was made before and is kept. Of one that was undone, nothing but its
// name is needed, unless somebody asks for another try: that is made anew.
func (p *pass) known(ctx context.Context) (wish, bool, error) {
	digest := p.job.Render.Fingerprint()
	if digest == "" || p.job.Retry != nil && !p.unit.book.Answered(p.job.Retry.Token) {
		return wish{}, false, nil
	}
	wanted := wish{digest: digest, fingerprint: fingerprint(digest, p.job)}
	one, found := p.unit.book.Wanted(wanted.fingerprint)
	if !found || one.Undone() {
		return wanted, found, nil
	}
	kept, err := p.objects(ctx, one.Number)
	if err != nil {
		return wanted, false, fault.Because("ReconciliationFailed", err)
	}
	p.unit.stood = kept
	wanted.set, wanted.hooks, wanted.like = kept.set, kept.hooks, one
	return wanted, true, nil
}

// parted sets apart what is kept in the cluster, and what runs at certain moments.
func (p *pass) parted(all check.Passed) (set, hooks check.Passed) {
	if p.Family != object.HelmReleases {
		return all, check.Passed{}
	}
	isHook := func(one object.Object) bool {
		_, found := phase.Of(one)
		return found
	}
	return all.Only(func(one object.Object) bool { return !isHook(one) }), all.Only(isHook)
}

// fingerprint identifies what is wanted and how it is to be applied and judged. A commit is only a
// label for it. Where it is told before rendering, that tells all: Helm knows no other reason for a release
// than another chart or other values.
func fingerprint(rendered string, job Job) string {
	if job.Render.Fingerprint() != "" {
		return rendered
	}
	manner, err := json.Marshal(struct {
		Prune, Force, Wait bool
		Ignore             []string
		Checks             []object.Ref
		Health             []observe.HealthExpr
		Timeout            time.Duration
	}{job.Prune, job.Force, job.Wait, ignoreTexts(job), job.Checks, job.Health, job.Timeout})
	if err != nil {
		return rendered // strings, booleans and numbers always encode
	}
	sum := sha256.New()
	_, _ = io.WriteString(sum, rendered)
	_, _ = sum.Write(manner)
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

func ignoreTexts(job Job) []string {
	texts := make([]string, len(job.Ignore))
	for i, rule := range job.Ignore {
		texts[i] = rule.String()
	}
	return texts
}
