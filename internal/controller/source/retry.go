package source

import (
	"math/rand/v2"
	"time"

	"holdfast.dev/holdfast/internal/model/fault"
)

// The wait after the first failure, and the longest one.
const (
	firstRetry = 750 * time.Millisecond
	lastRetry  = 15 * time.Minute
)

// next returns when to look again without being woken; 0 is never.
func (c *Controller[T, F]) next(object T, o Outcome[F], known *memory) time.Duration {
	interval := object.GetRequeueAfter()
	if o.Err == nil {
		known.failures = 0
		return c.Jitter(interval)
	}
	switch fault.KindOf(o.Err) {
	case fault.Stalled:
		known.failures = 0
		return 0
	case fault.Waiting:
		return max(fault.AfterOf(o.Err), c.Jitter(interval))
	default:
		known.failures++
		wait := retryAfter(known.failures, interval)
		return max(fault.AfterOf(o.Err), wait/2+rand.N(wait))
	}
}

// retryAfter doubles the wait with each failure in a row, but waits no longer than the interval: a
// remote that comes back is noticed no later than if it had never been away.
func retryAfter(failures int, interval time.Duration) time.Duration {
	longest := min(max(interval, firstRetry), lastRetry)
	wait := firstRetry
	for range failures - 1 {
		if wait *= 2; wait >= longest {
			return longest
		}
	}
	return min(wait, longest)
}
