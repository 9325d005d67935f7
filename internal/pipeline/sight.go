package pipeline

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
)

// mayLook checks that the identity that the unit acts as may read what its health checks name. The
// observer watches with our own rights, and a tenant must not learn through it what he could not
// have asked the server himself. The answer is remembered until the next verification.
func (u *unit) mayLook(ctx context.Context, job Job) error {
	if job.Wait || !job.Site.Cluster.Impersonates() {
		return nil
	}
	if u.readable == nil || job.Verify {
		u.readable = map[object.Ref]bool{}
	}
	for _, ref := range job.Checks {
		if u.readable[ref] {
			continue
		}
		_, err := job.Site.Cluster.Get(ctx, ref)
		switch {
		case err == nil, apierrors.IsNotFound(err):
			u.readable[ref] = true
		case meta.IsNoMatchError(err): // nobody serves the kind, so there is nothing to learn yet
		default:
			return fault.Because("ReconciliationFailed", fmt.Errorf("health check of %s: %w", ref, err))
		}
	}
	return nil
}
