package fleet

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FailedError says that a resource came to a verdict, and that the verdict is not Ready.
type FailedError struct {
	Resource Resource
}

// Error implements error.
func (e *FailedError) Error() string {
	ready := e.Resource.Ready()
	return fmt.Sprintf("%s is not ready: %s: %s", e.Resource, ready.Reason, ready.Message)
}

// PendingError says that the time was over before a resource came to a verdict.
type PendingError struct {
	Resource Resource
	Err      error // what ended the wait
}

// Error implements error.
func (e *PendingError) Error() string {
	message := e.Resource.Ready().Message
	if message == "" {
		message = "nothing has looked at it yet"
	}
	return fmt.Sprintf("waiting for %s: %v; last seen: %s", e.Resource, e.Err, message)
}

// Unwrap returns what ended the wait.
func (e *PendingError) Unwrap() error { return e.Err }

// Until tells whether a wait is over.
type Until func(Resource) bool

// Settled is over when the controller came to a verdict on the newest generation of the spec.
func Settled(resource Resource) bool {
	ready := resource.Ready()
	return ready.Status != metav1.ConditionUnknown &&
		ready.ObservedGeneration >= resource.Object.GetGeneration() &&
		// Waiting for another unit is not a verdict: an event moves the unit on by itself.
		ready.Reason != meta.DependencyNotReadyReason
}

// Handled is over when the request with that token has led to a verdict.
func Handled(token string) Until {
	return func(resource Resource) bool {
		return resource.Status.GetLastHandledReconcileRequest() == token && Settled(resource)
	}
}

// Await waits until the resource's wait is over and returns it as it is then. The error is a
// FailedError when the verdict is not Ready, and a PendingError when ctx ended first. seen, which may
// be nil, is called with every state on the way.
func (c *Cluster) Await(ctx context.Context, resource Resource, until Until, seen func(Resource)) (Resource, error) {
	last := resource
	selection := Selection{Namespace: resource.Object.GetNamespace(), Names: []string{resource.Object.GetName()}}
	err := c.Follow(ctx, []Kind{resource.Kind}, selection, func(change Change) (bool, error) {
		last = change.Resource
		if change.Deleted {
			return false, fmt.Errorf("waiting for %s: it was deleted", last)
		}
		if seen != nil {
			seen(last)
		}
		return until(last), nil
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return last, &PendingError{Resource: last, Err: context.Cause(ctx)}
	case err != nil:
		return last, err
	case last.Ready().Status != metav1.ConditionTrue:
		return last, &FailedError{Resource: last}
	}
	return last, nil
}

// SuspendedError says that a resource is suspended, so that a request would wait in vain.
type SuspendedError struct{ Resource Resource }

// Error implements error.
func (e *SuspendedError) Error() string { return fmt.Sprintf("%s is suspended", e.Resource) }
