package kustomization

import (
	"context"
	"fmt"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/revision"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/witness"
)

// reconciler visits a unit whenever something woke it. A visit never waits: it brings the unit as
// far as it will go, writes the status if it changed, and returns.
type reconciler struct {
	Deps
	Options
	sites   *delivery.Sites
	notes   *delivery.Notes[*kustomizev1.Kustomization]
	depends delivery.Dependencies[*kustomizev1.Kustomization]
	// keyrings are the keys of units.
	keyrings *keyrings
	now      func() time.Time
}

// visit is one look at one unit.
type visit struct {
	*reconciler
	attempt
	unit    *kustomizev1.Kustomization // as it is in the cluster; its status is never changed in place
	status  kustomizev1.KustomizationStatus
	note    *delivery.Note[*kustomizev1.Kustomization]
	started time.Time
	// asked says that a person or program asked for this visit by annotation.
	asked bool
	// stood says that the attempt had succeeded before this visit.
	stood bool
	// aside says that there is nothing to do but to write the new revision into the status, which
	// can wait until units with real work had their turn.
	aside bool
}

// asidePause, with the lowest priority, puts a visit behind all others.
const asidePause = time.Millisecond

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var cached kustomizev1.Kustomization
	if err := r.Client.Get(ctx, request.NamespacedName, &cached); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.forget(request.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	note := r.notes.Of(request.NamespacedName)
	unit := note.Latest(&cached)
	v := &visit{
		reconciler: r, unit: unit, note: note, started: r.now(), status: *unit.Status.DeepCopy(),
		attempt: attempt{generation: unit.Generation, timeout: unit.GetTimeout()},
	}
	if !unit.DeletionTimestamp.IsZero() {
		return v.finalize(ctx)
	}
	if err := v.adopt(ctx); err != nil {
		return ctrl.Result{}, err
	}
	if err := v.configured(ctx); err != nil {
		return ctrl.Result{}, err
	}
	token, _ := meta.ReconcileAnnotationValue(unit.Annotations)
	v.asked = token != "" && token != v.status.LastHandledReconcileAt
	if v.asked {
		v.requested(ctx, token)
	}
	after := v.run(ctx)
	if v.aside {
		last := handler.LowPriority
		return ctrl.Result{RequeueAfter: asidePause, Priority: &last}, nil
	}
	if token != "" {
		v.status.LastHandledReconcileAt = token
	}
	if err := v.save(ctx); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: after}, nil
}

func subjectOf(u *kustomizev1.Kustomization) record.Subject {
	return record.Subject{Kind: kustomizev1.KustomizationKind, Namespace: u.Namespace, Name: u.Name}
}

// configured records that the settings of the unit are others, once for each generation. What cannot be
// recorded where it must be is not acted upon.
func (v *visit) configured(ctx context.Context) error {
	if v.unit.Generation == v.status.ObservedGeneration || v.unit.Generation == v.note.Configured {
		return nil
	}
	about := subjectOf(v.unit)
	entry, err := record.Settings(about, v.unit.Generation, v.unit.Spec, v.now())
	if err != nil {
		return err
	}
	if who := v.Witness.Who(about, witness.Configured(v.unit.Generation)); who != "" {
		entry.Actor = record.Actor{Type: record.Person, Name: who}
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

// requested records that somebody asked for a visit, once for each token. Nothing depends on it.
func (v *visit) requested(ctx context.Context, token string) {
	if v.note.Requested == token {
		return
	}
	v.note.Requested = token
	about := subjectOf(v.unit)
	_ = v.Record.Record(ctx, record.Entry{
		At: v.now(), Kind: record.Requested, Subject: about, Reason: "Reconcile", Details: map[string]string{"token": token},
		Actor: v.Witness.Actor(about, witness.Annotated(meta.ReconcileRequestAnnotation, token), ""),
	})
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
	v.stood = v.stands(&v.status)
	outcome := v.Line.Advance(ctx, job)
	if v.mayStandAside(ctx, outcome) {
		v.note.Aside, v.aside = v.revision, true
		return 0
	}
	return v.settle(outcome)
}

// mayStandAside tells whether all that is left of this visit is to name a new revision, and nobody
// waits for that. A commit wakes every unit of its source; the few that it concerns come first.
func (v *visit) mayStandAside(ctx context.Context, out pipeline.Outcome) bool {
	if out.Phase != pipeline.Done || v.asked || v.note.Aside == v.revision || !v.wasReady(&v.status) {
		return false
	}
	if len(out.Changes.Made())+len(out.Pruned.Made()) > 0 || len(out.Contested) > 0 || v.generation != v.status.ObservedGeneration {
		return false
	}
	return !v.stood && len(v.readers(ctx, delivery.InputKey(kustomizev1.KustomizationKind, nameOf(v.unit)))) == 0
}

// prepare gathers what the line needs, in the order of Flux's own checks (flux-contract 2.3).
func (v *visit) prepare(ctx context.Context) (pipeline.Job, error) {
	v.Follower.Keep(ownerOf(v.unit).String(), v.configRefs(v.unit))
	job, err := v.job()
	if err != nil {
		return job, err
	}
	artifact, err := v.artifact(ctx, v.unit)
	if err != nil {
		return job, err
	}
	v.revision, v.origin = artifact.Revision, delivery.OriginRevision(artifact)
	job.Label, job.Signature = delivery.LabelOf(artifact), artifact.Metadata[revision.SignatureKey]
	if err := v.dependencies(ctx, v.unit, artifact); err != nil {
		return job, err
	}
	input := renderOf(v.unit)
	if input.Tree, err = v.Trees.Open(ctx, artifact); err != nil {
		return job, fault.Because(meta.ArtifactFailedReason, err)
	}
	if input.Variables, err = v.variables(ctx, v.unit); err != nil {
		return job, err
	}
	if input.Opener, err = v.opener(ctx, v.unit); err != nil {
		return job, err
	}
	job.Render = built{v.Renderer, input}
	if job.Site, err = v.sites.Site(ctx, reachOf(v.unit)); err != nil {
		return job, err
	}
	v.note.Waiting = time.Time{}
	job.Heirs = v.heirs(input.Tree)
	job.Restart = v.asked
	job.Verify = v.asked || !v.note.Verify.IsZero() && !v.now().Before(v.note.Verify)
	if job.Verify || v.note.Verify.IsZero() {
		v.note.Verify = v.now().Add(delivery.Spread(v.unit.Spec.Interval.Duration, v.IntervalJitter))
	}
	return job, nil
}

// job begins a job with what does not depend on others.
func (v *visit) job() (pipeline.Job, error) {
	job, err := jobOf(v.unit)
	if err == nil {
		err = v.Releases.Apply(&job, v.unit.Annotations)
	}
	delivery.Prove(&job, subjectOf(v.unit), v.Witness)
	job.Unit, job.Inventory, job.Save = ownerOf(v.unit), inventoryOf(&v.status), v.intend
	return job, err
}

// refuse ends a visit that did not get as far as the line.
// Drift of what it applied before is corrected all the same.
func (v *visit) refuse(ctx context.Context, job pipeline.Job, err error) time.Duration {
	upheld := v.uphold(ctx, job, err)
	err = upheld.Err
	if fault.KindOf(err) == fault.Waiting && !v.asked && v.note.Within(quietWait, v.now()) {
		return delivery.Soonest(upheld.After, quietWait)
	}
	if ctx.Err() != nil {
		return 0
	}
	return delivery.Soonest(upheld.After, v.refused(err))
}

// uphold keeps up what the unit has applied, unless it may not act any more.
func (v *visit) uphold(ctx context.Context, job pipeline.Job, cause error) pipeline.Outcome {
	out := pipeline.Outcome{Err: cause}
	if fault.ReasonOf(cause, "") == delivery.ReasonAccessDenied {
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
	v.stand(out)
	v.tellChanges(out)
	return out
}

// refused puts a refusal into the status and returns when to try again.
func (v *visit) refused(err error) time.Duration {
	kind := fault.KindOf(err)
	v.failed(&v.status, fault.ReasonOf(err, meta.ReconciliationFailedReason), err.Error(), kind == fault.Stalled)
	v.tellFailure(err, kind)
	switch kind {
	case fault.Stalled:
		return 0
	case fault.Waiting:
		// Most waits end with an event. One that names a time may have to look for itself, as when a
		// source with an empty disk has yet to fetch what its status names.
		if longest := fault.AfterOf(err); longest > 0 {
			return v.note.Retry(longest)
		}
		return v.unit.Spec.Interval.Duration
	default:
		return v.note.Retry(v.unit.GetRetryInterval())
	}
}

// settle turns the outcome of a pass into status and events.
func (v *visit) settle(out pipeline.Outcome) time.Duration {
	v.status.Inventory = inventoryTo(out.Inventory)
	v.stand(out)
	v.tellChanges(out)
	if out.Fingerprint != "" && (out.Phase != pipeline.Failed || len(out.Told) > 0) {
		v.tellFindings(out)
	}
	took := v.now().Sub(v.started)
	switch out.Phase {
	case pipeline.Failed:
		return v.settleFailure(out, took)
	case pipeline.Parked:
		if !v.stood && v.announced() && out.Waited < quietWait {
			return delivery.Soonest(quietWait-out.Waited, delivery.Soonest(out.After, v.due()))
		}
		if !v.stood {
			v.progressing(&v.status, out.Checked)
		}
		return delivery.Soonest(out.After, v.due())
	default:
		changed := len(out.Changes.Made()) + len(out.Pruned.Made())
		fresh := !v.stood || v.asked || changed > 0
		// A commit that changes nothing here is no news: it costs the status, and no event.
		news := v.asked || changed > 0 || !v.wasReady(&v.status)
		wasHealthy := apimeta.IsStatusConditionTrue(v.status.Conditions, meta.HealthyCondition)
		v.succeeded(&v.status, out.Checked, out.Waited)
		if fresh {
			v.remember(&v.status, out.Fingerprint, meta.ReconciliationSucceededReason, v.now(), took+out.Waited)
		}
		if news {
			v.tellSuccess(out, took+out.Waited, changed > 0, wasHealthy)
		}
		v.note.Failures = 0
		return delivery.Soonest(out.After, v.due())
	}
}

// stand sets right what the status says is applied, when the cluster was brought back to an older release.
func (v *visit) stand(out pipeline.Outcome) {
	if out.Held && out.Standing.Label.Revision != "" && v.status.LastAppliedRevision == v.revision {
		v.status.LastAppliedRevision = out.Standing.Label.Revision
		v.status.LastAppliedOriginRevision = out.Standing.Label.Origin
	}
}

// quietWait is how long a wait for health, for a source or for a dependency may take before the status
// tells of it: most are over in less, and a status that is replaced at once is of no use to anybody.
const quietWait = time.Second

// announced tells whether the status says already that this revision is being worked on.
func (v *visit) announced() bool {
	ready := apimeta.FindStatusCondition(v.status.Conditions, meta.ReadyCondition)
	return ready != nil && ready.Status == metav1.ConditionUnknown && ready.ObservedGeneration == v.generation &&
		v.status.LastAttemptedRevision == v.revision
}

// settleFailure records a failed pass. An unhealthy unit is woken by the health of its objects, and
// tried again at its retry interval for the rest.
func (v *visit) settleFailure(out pipeline.Outcome, took time.Duration) time.Duration {
	reason := fault.ReasonOf(out.Err, meta.ReconciliationFailedReason)
	kind := fault.KindOf(out.Err)
	if changedCondition(&v.status, reason, out.Err.Error()) && recorded[reason] {
		v.remember(&v.status, out.Fingerprint, reason, v.now(), took)
	}
	v.failed(&v.status, reason, out.Err.Error(), kind == fault.Stalled)
	v.tellFailure(out.Err, kind)
	switch {
	case kind == fault.Stalled:
		return out.After
	case reason == meta.HealthCheckFailedReason:
		return delivery.Soonest(out.After, delivery.Soonest(v.unit.GetRetryInterval(), v.due()))
	default:
		return delivery.Soonest(out.After, delivery.Soonest(v.note.Retry(v.unit.GetRetryInterval()), v.due()))
	}
}

// recorded are the reasons that get into the history: failures from the apply step on (2.2).
var recorded = map[string]bool{
	meta.ReconciliationFailedReason: true, meta.PruneFailedReason: true, meta.HealthCheckFailedReason: true,
}

// due returns the time until the next verification.
func (v *visit) due() time.Duration { return max(v.note.Verify.Sub(v.now()), time.Second) }

// changedCondition tells whether a failure is news.
func changedCondition(status *kustomizev1.KustomizationStatus, reason, message string) bool {
	ready := apimeta.FindStatusCondition(status.Conditions, meta.ReadyCondition)
	return ready == nil || ready.Reason != reason || ready.Message != message
}

// forget drops everything about a unit that is gone.
func (r *reconciler) forget(name types.NamespacedName) {
	owner := ownerOf(&kustomizev1.Kustomization{ObjectMeta: nameMeta(name)})
	r.notes.Forget(name)
	r.Follower.Keep(owner.String(), nil)
	r.drop(owner)
	r.sites.Leave(owner)
}

// drop forgets what is remembered of a unit, but not how it is reached.
func (r *reconciler) drop(owner object.Owner) {
	r.Renderer.Forget(owner)
	r.Line.Forget(owner, r.sites.Of(owner))
}
