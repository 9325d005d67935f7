package notification

import (
	"context"
	"fmt"
	"regexp"

	v1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"holdfast.dev/holdfast/internal/record/alert/send"
)

// finalizer is what older versions of Flux put on both kinds. Nothing needs it, and nobody else would
// take it off.
const finalizer = "finalizers.fluxcd.io"

// reviewer looks at Alerts and Providers when they change, and tells people what is wrong with them.
type reviewer struct {
	client client.Client
	events teller
}

// Setup registers the reviews with a manager.
func Setup(mgr ctrl.Manager, events teller) error {
	r := &reviewer{client: mgr.GetClient(), events: events}
	changed := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	err := ctrl.NewControllerManagedBy(mgr).Named("alert").For(&v1beta3.Alert{}, changed).
		Complete(reconcile.Func(func(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
			found := &v1beta3.Alert{}
			return ctrl.Result{}, r.review(ctx, request, found, func() error { return faultOfAlert(found) })
		}))
	if err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).Named("provider").For(&v1beta3.Provider{}, changed).
		Complete(reconcile.Func(func(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
			found := &v1beta3.Provider{}
			return ctrl.Result{}, r.review(ctx, request, found, func() error { return faultOfProvider(found) })
		}))
}

// review reads an object, and tells its people what judge finds wrong with it.
func (r *reviewer) review(ctx context.Context, request ctrl.Request, found client.Object, judge func() error) error {
	if err := r.client.Get(ctx, request.NamespacedName, found); err != nil {
		return client.IgnoreNotFound(err)
	}
	if controllerutil.ContainsFinalizer(found, finalizer) {
		before, _ := found.DeepCopyObject().(client.Object)
		controllerutil.RemoveFinalizer(found, finalizer)
		if err := r.client.Patch(ctx, found, client.MergeFrom(before)); err != nil {
			return client.IgnoreNotFound(err)
		}
	}
	if !found.GetDeletionTimestamp().IsZero() {
		return nil
	}
	if err := judge(); err != nil {
		r.events.AnnotatedEventf(found, nil, corev1.EventTypeWarning, "InvalidConfig", "%s", err)
	}
	return nil
}

// faultOfAlert returns what in an Alert can never work.
func faultOfAlert(a *v1beta3.Alert) error {
	for field, list := range map[string][]string{"inclusionList": a.Spec.InclusionList, "exclusionList": a.Spec.ExclusionList} {
		for _, text := range list {
			if _, err := regexp.Compile(text); err != nil {
				return fmt.Errorf("reading spec.%s: %w", field, err)
			}
		}
	}
	return nil
}

// faultOfProvider returns what in a Provider can never work.
func faultOfProvider(p *v1beta3.Provider) error {
	if !send.Serves(p.Spec.Type) {
		return send.Unserved(p.Spec.Type)
	}
	if p.Spec.CommitStatusExpr != "" {
		if _, err := compileStatusName(p.Spec.CommitStatusExpr); err != nil {
			return err
		}
	}
	return nil
}
