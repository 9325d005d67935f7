package receiver

import (
	"context"
	"fmt"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"holdfast.dev/holdfast/internal/controller/measure"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/record/metric"
)

// fieldOwner is the manager of the fields we write, as Flux names it.
const fieldOwner = "notification-controller"

// recorder tells people what happened.
type recorder interface {
	AnnotatedEventf(object runtime.Object, annotations map[string]string, eventType, reason, format string, args ...any)
}

// Deps are the parts that a Controller works with.
type Deps struct {
	Client  client.Client
	Secrets client.Reader
	Events  recorder
	Metrics *metric.Set // nil measures nothing
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Controller reconciles Receivers.
type Controller struct{ Deps }

// pathIndex finds Receivers by their webhook path.
const pathIndex = "status.webhookPath"

// Setup adds a Controller to the manager, whose scheme must know the kind.
func Setup(ctx context.Context, mgr ctrl.Manager, deps Deps) (*Controller, error) {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	c := &Controller{deps}
	err := mgr.GetFieldIndexer().IndexField(ctx, &notificationv1.Receiver{}, pathIndex, func(o client.Object) []string {
		r, isReceiver := o.(*notificationv1.Receiver)
		if !isReceiver || r.Status.WebhookPath == "" {
			return nil
		}
		return []string{r.Status.WebhookPath}
	})
	if err != nil {
		return nil, fmt.Errorf("indexing Receivers: %w", err)
	}
	err = ctrl.NewControllerManagedBy(mgr).Named("receiver").
		For(&notificationv1.Receiver{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.Funcs{UpdateFunc: requested}))).
		Complete(measure.Reconciler(deps.Metrics, notificationv1.ReceiverKind, c))
	if err != nil {
		return nil, fmt.Errorf("setting up Receiver: %w", err)
	}
	return c, nil
}

// requested tells whether somebody asked for a reconcile by annotation.
func requested(e event.UpdateEvent) bool {
	before, _ := meta.ReconcileAnnotationValue(e.ObjectOld.GetAnnotations())
	after, found := meta.ReconcileAnnotationValue(e.ObjectNew.GetAnnotations())
	return found && before != after
}

// Find returns the Receiver that has a webhook path, nil where there is none. The caller must not
// change it.
func (c *Controller) Find(ctx context.Context, path string) (*notificationv1.Receiver, error) {
	var list notificationv1.ReceiverList
	err := c.Client.List(ctx, &list, client.MatchingFields{pathIndex: path}, client.Limit(1), client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("finding a Receiver by its path: %w", err)
	}
	if len(list.Items) == 0 {
		return nil, nil
	}
	return &list.Items[0], nil
}

// Reconcile implements reconcile.Reconciler.
func (c *Controller) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	r := &notificationv1.Receiver{}
	if err := c.Client.Get(ctx, request.NamespacedName, r); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !r.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, c.finalizer(ctx, r, controllerutil.RemoveFinalizer)
	}
	if err := c.finalizer(ctx, r, controllerutil.AddFinalizer); err != nil {
		return ctrl.Result{}, err
	}
	if r.Spec.Suspend {
		return ctrl.Result{}, c.save(ctx, r, handled(r))
	}
	token, err := c.token(ctx, r)
	if err == nil {
		err = examine(r)
	}
	status := statusOf(r, token, err, c.Now())
	c.tell(ctx, r, status)
	if err := c.save(ctx, r, status); err != nil {
		return ctrl.Result{}, err
	}
	return next(r, err)
}

// firstRetry is how soon a Receiver without a token is looked at again.
const firstRetry = 5 * time.Second

// next says when to look again. The token may be another one meanwhile.
func next(r *notificationv1.Receiver, err error) (ctrl.Result, error) {
	switch {
	case err == nil:
		return ctrl.Result{RequeueAfter: r.GetInterval()}, nil
	case fault.KindOf(err) == fault.Stalled:
		return ctrl.Result{}, nil
	default:
		return ctrl.Result{RequeueAfter: min(firstRetry, r.GetInterval())}, nil
	}
}

// finalizer adds or removes the finalizer.
func (c *Controller) finalizer(ctx context.Context, r *notificationv1.Receiver, change func(client.Object, string) bool) error {
	before := r.DeepCopy()
	if !change(r, notificationv1.NotificationFinalizer) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.Client.Patch(ctx, r, patch, client.FieldOwner(fieldOwner)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("changing the finalizer: %w", err)
	}
	return nil
}

// save writes a status if it differs.
func (c *Controller) save(ctx context.Context, r *notificationv1.Receiver, status notificationv1.ReceiverStatus) error {
	if equality.Semantic.DeepEqual(r.Status, status) {
		return nil
	}
	before := r.DeepCopy()
	r.Status = status
	err := c.Client.Status().Patch(ctx, r, client.MergeFrom(before), client.FieldOwner(fieldOwner))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing status: %w", err)
	}
	return nil
}

// tell sends an event where there is news.
func (c *Controller) tell(ctx context.Context, r *notificationv1.Receiver, status notificationv1.ReceiverStatus) {
	before := apimeta.FindStatusCondition(r.Status.Conditions, meta.ReadyCondition)
	after := apimeta.FindStatusCondition(status.Conditions, meta.ReadyCondition)
	if before != nil && before.Status == after.Status && before.Message == after.Message {
		return
	}
	kind, message := corev1.EventTypeNormal, fmt.Sprintf("Reconciliation finished, next run in %s", r.GetInterval())
	if after.Status != "True" {
		kind, message = corev1.EventTypeWarning, after.Message
	}
	c.Events.AnnotatedEventf(r, nil, kind, after.Reason, "%s", message)
	log.FromContext(ctx).Info("receiver changed", "reason", after.Reason)
}
