package measure

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/metric"
)

// Reconciler times a reconciler of a kind and counts the requests that it makes. A nil set measures
// nothing.
func Reconciler(set *metric.Set, kind string, inner reconcile.Reconciler) reconcile.Reconciler {
	if set == nil {
		return inner
	}
	return reconcile.Func(func(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
		end := set.Visit(record.Subject{Kind: kind, Namespace: request.Namespace, Name: request.Name})
		ctx, tally := kube.WithTally(ctx)
		result, err := inner.Reconcile(ctx, request)
		end(tally.Count())
		return result, err
	})
}
