package apply

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
)

// judge has the server try all the work of a stage without storing it. The error names every object
// that was refused; nothing has been written then.
func (r *run) judge(ctx context.Context, plans []plan) error {
	return each(plans, func(p *plan) bool { return p.work }, func(p *plan) error { return r.try(ctx, p) })
}

// try dry-runs one object and learns from the answer what the write has to do.
func (r *run) try(ctx context.Context, p *plan) error {
	if skipped, err := r.skipPresent(ctx, p); skipped || err != nil {
		return err
	}
	if err := r.yield(ctx, p); err != nil {
		return err
	}
	answer, err := r.Cluster.Apply(ctx, p.wanted.Ref, p.body, kube.ApplyOptions{Manager: r.options.Manager, DryRun: true})
	if err != nil {
		if r.mayRecreate(ctx, p, err) {
			p.recreate = true
			return nil
		}
		return r.refusal(p.wanted.Ref, "dry-run failed", err)
	}
	if answer.Created {
		return nil
	}
	p.exists = true
	p.version = answer.Object.GetResourceVersion()
	if live := r.options.Family.RulesOf(answer.Object); live.Skipped() {
		p.work, p.action = false, object.Skipped
		return nil
	}
	merge := p.wanted.Rules.Merge || r.options.Family.RulesOf(answer.Object).Merge
	p.managers = !merge && r.foreign(answer.Object)
	if !p.managers && r.View.Confirm(answer.Object) {
		p.work, p.action = false, object.Unchanged
	}
	return nil
}

// skipPresent handles objects that are to be created only. It asks even where the view knows of no
// object: the view sees only objects that carry owner labels.
func (r *run) skipPresent(ctx context.Context, p *plan) (bool, error) {
	if !p.wanted.Rules.IfNotPresent {
		return false, nil
	}
	_, err := r.Cluster.Get(ctx, p.wanted.Ref)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, r.refusal(p.wanted.Ref, "read failed", err)
	}
	p.work, p.action = false, object.Skipped
	return true, nil
}

// refusal puts the server's answer into one sentence that names the object. A kind that the set
// itself defines is only a matter of moments: the definition was accepted a step ago.
func (r *run) refusal(ref object.Ref, what string, err error) error {
	if meta.IsNoMatchError(err) && r.Set.Defines(ref) {
		return fault.Wait("Progressing", settleTime, fmt.Errorf("%s %s: %w", ref, what, err))
	}
	reason := ""
	if code := apierrors.ReasonForError(err); code != "" {
		reason = " (" + string(code) + ")"
	}
	return fmt.Errorf("%s %s%s: %w", ref, what, reason, err)
}

// each runs a step for the chosen plans concurrently and joins their errors, sorted by text, so
// that the same failure reads the same every time.
func each(plans []plan, chosen func(*plan) bool, step func(*plan) error) error {
	failures := make([]error, len(plans))
	var group sync.WaitGroup
	limit := make(chan struct{}, kube.DefaultInFlight)
	for i := range plans {
		if !chosen(&plans[i]) {
			continue
		}
		limit <- struct{}{}
		group.Go(func() {
			defer func() { <-limit }()
			failures[i] = step(&plans[i])
		})
	}
	group.Wait()
	return joined(failures)
}

// joined makes one error of many: one line each. Its kind is the kind that they share; a mix is
// transient, since some of it may pass.
func joined(failures []error) error {
	var found []error
	for _, err := range failures {
		if err != nil {
			found = append(found, err)
		}
	}
	if len(found) == 0 {
		return nil
	}
	kind := fault.KindOf(found[0])
	for _, err := range found[1:] {
		if fault.KindOf(err) != kind {
			kind = fault.Transient
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].Error() < found[j].Error() })
	return &fault.Error{Kind: kind, Reason: "ReconciliationFailed", After: fault.AfterOf(found[0]), Err: lines(found)}
}

// lines is a list of errors, one a line.
type lines []error

// Error implements error.
func (l lines) Error() string {
	texts := make([]string, len(l))
	for i, err := range l {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "\n")
}

// Unwrap gives errors.Is and errors.As all of them.
func (l lines) Unwrap() []error { return l }

var _ error = lines(nil)

// Refused tells whether the server said no to an object, as opposed to not being reached.
func Refused(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return meta.IsNoMatchError(err)
	}
	code := status.Status().Code
	return code >= 400 && code < 500 && code != 409 && code != 429
}
