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
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/observe"
	"holdfast.dev/holdfast/internal/stage/render"
)

// wish is what Git wants of a unit, judged.
type wish struct {
	set         check.Passed
	digest      string // of what was rendered
	fingerprint string // of that, and of how it is to be applied
}

// wish renders and checks. Without an error the set may be written.
func (p *pass) wish(ctx context.Context) (wish, error) {
	var wanted wish
	rendered, err := step(ctx, p, "render", func(ctx context.Context) (render.Output, error) {
		return p.render.Render(ctx, p.job.Render)
	})
	if err != nil {
		return wanted, fault.Because(fault.ReasonOf(err, "BuildFailed"), err)
	}
	p.unit.secrets.reveal(rendered.Revealed)
	wanted.digest = rendered.Fingerprint
	wanted.fingerprint = fingerprint(rendered.Fingerprint, p.job)
	wanted.set, err = step(ctx, p, "check", func(ctx context.Context) (check.Passed, error) {
		return p.check(ctx, rendered, wanted.fingerprint)
	})
	return wanted, err
}

// fingerprint identifies what is wanted and how it is to be applied and judged. A commit is only a
// label for it.
func fingerprint(rendered string, job Job) string {
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
