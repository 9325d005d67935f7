package helmrelease

import (
	"context"
	"fmt"
	"slices"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/helm"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/record"
)

// reconciler visits a unit whenever something woke it. A visit never waits.
type reconciler struct {
	Deps
	delivery.Options
	sites   *delivery.Sites
	notes   *delivery.Notes[*helmv2.HelmRelease]
	memos   *memos
	depends delivery.Dependencies[*helmv2.HelmRelease]
	cans    *capabilities
	now     func() time.Time
}

// visit is one look at one unit.
type visit struct {
	*reconciler
	unit    *helmv2.HelmRelease // as it is in the cluster; its status is never changed in place
	status  helmv2.HelmReleaseStatus
	note    *delivery.Note[*helmv2.HelmRelease]
	memo    *memo
	started time.Time
	asked   bool
	chart   chartInfo
	helm    *helm.Delivery
	// stood says that the status told of this very attempt's success before the visit, before is the latest
	// release of the visit before, and counting the one whose failure this visit counts.
	stood            bool
	before, counting int64
}

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var cached helmv2.HelmRelease
	if err := r.Client.Get(ctx, request.NamespacedName, &cached); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.forget(object.Owner{Namespace: request.Namespace, Name: request.Name})
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	note := r.notes.Of(request.NamespacedName)
	unit := note.Latest(&cached)
	v := &visit{
		reconciler: r, unit: unit, note: note, memo: r.memos.of(ownerOf(unit)), started: r.now(), status: *unit.Status.DeepCopy(),
	}
	if !unit.DeletionTimestamp.IsZero() {
		return v.finalize(ctx)
	}
	if !slices.Contains(unit.Finalizers, helmv2.HelmReleaseFinalizer) {
		if err := v.setFinalizers(ctx, append(slices.Clone(unit.Finalizers), helmv2.HelmReleaseFinalizer)); err != nil {
			return ctrl.Result{}, err
		}
	}
	if err := v.configured(ctx); err != nil {
		return ctrl.Result{}, err
	}
	token, _ := meta.ReconcileAnnotationValue(v.unit.Annotations)
	v.asked = token != "" && token != v.status.LastHandledReconcileAt
	after := v.run(ctx)
	if token != "" {
		v.status.LastHandledReconcileAt = token
		v.handled(token)
	}
	if err := v.save(ctx); err != nil {
		return ctrl.Result{}, err
	}
	if v.counting != 0 {
		v.memo.counted = v.counting
	}
	return ctrl.Result{RequeueAfter: after}, nil
}

// configured records that the settings of the unit are others, once for each generation.
func (v *visit) configured(ctx context.Context) error {
	if v.unit.Generation == v.status.ObservedGeneration || v.unit.Generation == v.note.Configured {
		return nil
	}
	about := record.Subject{Kind: helmv2.HelmReleaseKind, Namespace: v.unit.Namespace, Name: v.unit.Name}
	entry, err := record.Settings(about, v.unit.Generation, v.unit.Spec, v.now())
	if err != nil {
		return err
	}
	if v.unit.Spec.Suspend {
		entry.Reason = meta.SuspendedReason
	}
	if err := v.Record.Record(ctx, entry); err != nil {
		return fmt.Errorf("recording the settings: %w", err)
	}
	v.note.Configured = v.unit.Generation
	return nil
}

// run does the work of a visit and returns when to come back without being woken; 0 is never.
func (v *visit) run(ctx context.Context) time.Duration {
	if v.unit.Spec.Suspend {
		v.drop(ownerOf(v.unit))
		return 0
	}
	job, err := v.prepare(ctx)
	if err != nil {
		return v.refuse(ctx, job, err)
	}
	v.note.Waiting = time.Time{}
	v.stood, v.before = v.stands(), v.memo.latest.Number
	return v.settle(v.Line.Advance(ctx, job))
}

// prepare gathers what the line needs.
func (v *visit) prepare(ctx context.Context) (pipeline.Job, error) {
	v.Follower.Keep(keeper(ownerOf(v.unit)), configRefs(v.unit))
	job, err := jobOf(v.unit)
	if err == nil {
		err = v.Releases.Apply(&job, v.unit.Annotations)
	}
	job.Inventory, job.Save = inventoryOf(&v.status), v.intend
	if err != nil {
		return job, err
	}
	artifact, err := v.artifact(ctx)
	if err != nil {
		return job, err
	}
	if err := v.depends.Check(ctx, v.unit); err != nil {
		return job, err
	}
	values, err := v.values(ctx)
	if err != nil {
		return job, err
	}
	if job.Site, err = v.sites.Site(ctx, reachOf(v.unit)); err != nil {
		return job, err
	}
	if err := v.open(ctx, artifact, values, job.Site); err != nil {
		return job, err
	}
	job.Render, job.Ledger = v.helm, v.helm
	job.Label, job.Signature = v.chart.label, v.chart.signature
	if err := v.moved(ctx, &job); err != nil {
		return job, err
	}
	v.remediation(&job)
	job.Restart = v.asked
	due := v.asked || v.note.Verify.IsZero() || !v.now().Before(v.note.Verify)
	job.Verify = due && !v.note.Verify.IsZero() && job.Upkeep == pipeline.Correct
	if due {
		v.note.Verify = v.now().Add(delivery.Spread(v.unit.Spec.Interval.Duration, v.IntervalJitter))
	}
	return job, v.request(ctx, &job, due)
}

// refuse ends a visit that did not get as far as the line. Drift of what it applied before is corrected all
// the same.
func (v *visit) refuse(ctx context.Context, job pipeline.Job, err error) time.Duration {
	upheld := v.uphold(ctx, job, err)
	err = upheld.Err
	if fault.KindOf(err) == fault.Waiting && !v.asked && v.note.Within(quietWait, v.now()) {
		return delivery.Soonest(upheld.After, quietWait)
	}
	if ctx.Err() != nil {
		return 0
	}
	kind := fault.KindOf(err)
	v.failed(fault.ReasonOf(err, meta.ReconciliationFailedReason), err.Error(), kind == fault.Stalled)
	v.tellFailure(err, kind)
	switch kind {
	case fault.Stalled:
		return upheld.After
	case fault.Waiting:
		if longest := fault.AfterOf(err); longest > 0 {
			return delivery.Soonest(upheld.After, v.note.Retry(longest))
		}
		return delivery.Soonest(upheld.After, v.unit.Spec.Interval.Duration)
	default:
		return delivery.Soonest(upheld.After, v.note.Retry(v.unit.Spec.Interval.Duration))
	}
}

// uphold keeps up what the unit has applied, unless it may not act any more.
func (v *visit) uphold(ctx context.Context, job pipeline.Job, cause error) pipeline.Outcome {
	out := pipeline.Outcome{Err: cause}
	if fault.ReasonOf(cause, "") == delivery.ReasonAccessDenied || len(job.Inventory) == 0 {
		return out
	}
	if job.Site.Observer == nil {
		var err error
		if job.Site, err = v.sites.Site(ctx, reachOf(v.unit)); err != nil {
			return out
		}
	}
	out = v.Line.Uphold(ctx, job, cause)
	v.status.Inventory = inventoryTo(out.Inventory)
	v.tellChanges(out)
	return out
}

// quietWait is how long a wait may take before the status tells of it.
const quietWait = time.Second

// settle turns the outcome of a pass into status and events.
func (v *visit) settle(out pipeline.Outcome) time.Duration {
	v.status.Inventory = inventoryTo(out.Inventory)
	v.attempted(out)
	v.remember()
	v.tellChanges(out)
	v.drifted(out)
	switch out.Phase {
	case pipeline.Failed:
		reason, kind := fault.ReasonOf(out.Err, meta.ReconciliationFailedReason), fault.KindOf(out.Err)
		v.count(out)
		v.unreleased(out, reason, kind == fault.Stalled)
		v.tellFailure(out.Err, kind)
		again := v.retryAfter(out)
		if kind == fault.Stalled || out.Held {
			return delivery.Soonest(out.After, again)
		}
		return delivery.Soonest(delivery.Soonest(out.After, again), delivery.Soonest(v.note.Retry(v.unit.Spec.Interval.Duration), v.due()))
	case pipeline.Parked:
		if !v.stood && (out.Waited >= quietWait || v.now().Sub(out.Latest.Begun) >= quietWait) {
			v.progressing(out.Message)
		}
		wait := v.due()
		if !v.stood && condition(&v.status, meta.ReconcilingCondition) == nil {
			wait = quietWait
		}
		return delivery.Soonest(out.After, wait)
	default:
		fresh := !v.stood
		v.succeeded(out)
		if fresh {
			v.tellSuccess()
		}
		v.note.Failures = 0
		return delivery.Soonest(out.After, v.due())
	}
}

// due returns the time until the next verification.
func (v *visit) due() time.Duration { return max(v.note.Verify.Sub(v.now()), time.Second) }

// forget drops everything about a unit that is gone.
func (r *reconciler) forget(owner object.Owner) {
	r.notes.Forget(nameOf(owner))
	r.memos.forget(owner)
	r.Follower.Keep(keeper(owner), nil)
	r.drop(owner)
	r.sites.Leave(owner)
}

// drop forgets what is remembered of a unit, but not how it is reached.
func (r *reconciler) drop(owner object.Owner) {
	r.Renderer.Forget(owner)
	r.Line.Forget(owner, r.sites.Of(owner))
}
