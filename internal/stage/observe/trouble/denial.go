package trouble

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/kube/stream"
)

// denial is what an Event told of a Pod that was not created.
type denial struct {
	key     Key
	event   place
	message string
	at      time.Time // by the cluster's clock
	seen    time.Time // by ours
	first   time.Time // by ours, of the first in a row
}

// complaint is such an Event as it was seen once.
type complaint struct {
	key     Key
	uid     types.UID
	message string
	at      time.Time
}

// lookAtEvent reads an Event; nil means that it tells of nothing that lasts.
func lookAtEvent(seen metav1.Object) *complaint {
	u, ok := seen.(*unstructured.Unstructured)
	if !ok {
		return nil
	}
	about, _ := u.Object["involvedObject"].(map[string]any)
	c := &complaint{}
	c.key.Kind, _ = about["kind"].(string)
	c.key.Namespace, _ = about["namespace"].(string)
	c.key.Name, _ = about["name"].(string)
	uid, _ := about["uid"].(string)
	c.uid = types.UID(uid)
	c.message, _ = u.Object["message"].(string)
	if _, lasting := refusal(c.message); !lasting || uid == "" {
		return nil
	}
	switch c.key.Kind {
	case statefulSet, daemonSet, job:
	default:
		return nil
	}
	c.at = seen.GetCreationTimestamp().Time
	series, _ := u.Object["series"].(map[string]any)
	for _, value := range []any{u.Object["lastTimestamp"], u.Object["eventTime"], series["lastObservedTime"]} {
		text, _ := value.(string)
		if at, err := time.Parse(time.RFC3339, text); err == nil && at.After(c.at) {
			c.at = at
		}
	}
	return c
}

func (w *Watcher) openEvents(ctx context.Context, current *session) {
	follow(ctx, w, current, intake[*complaint]{look: lookAtEvent, put: w.putEvent, drop: w.dropEvent, replace: w.replaceEvents})
}

func (w *Watcher) putEvent(at place, seen *complaint) []Key {
	if seen == nil {
		return nil
	}
	now := w.options.Now()
	return w.note(at, seen, now, now)
}

// note takes in what an Event tells, as of a time.
func (w *Watcher) note(at place, seen *complaint, as, now time.Time) []Key {
	next := &denial{key: seen.key, event: at, message: seen.message, at: seen.at, seen: as, first: now}
	if before := w.refusals[seen.uid]; before != nil {
		if seen.at.Before(before.at) {
			return nil
		}
		next.first = before.first
	}
	w.refusals[seen.uid] = next
	return []Key{seen.key}
}

func (w *Watcher) dropEvent(at place) []Key {
	for uid, known := range w.refusals {
		if known.event == at {
			delete(w.refusals, uid)
			return []Key{known.key}
		}
	}
	return nil
}

// replaceEvents takes in a complete list. Events stay for an hour, so that most tell of the past.
func (w *Watcher) replaceEvents(items []stream.Item[*complaint]) []Key {
	now := w.options.Now()
	var keys []Key
	listed := map[place]bool{}
	for _, item := range items {
		seen := item.Value
		at := place{item.Namespace, item.Name}
		listed[at] = true
		if seen == nil || seen.at.Before(now.Add(-eventAge)) {
			continue
		}
		keys = append(keys, w.note(at, seen, seen.at, now)...)
	}
	for uid, known := range w.refusals {
		if !listed[known.event] {
			delete(w.refusals, uid)
			keys = append(keys, known.key)
		}
	}
	return keys
}

func (w *Watcher) forgetEvents() []Key {
	var keys []Key
	for _, known := range w.refusals {
		keys = append(keys, known.key)
	}
	clear(w.refusals)
	return keys
}

// granted forgets a denial when a Pod shows that one was created since.
func (w *Watcher) granted(seen *pod) bool {
	known := w.refusals[seen.owner]
	if known == nil || seen.created.Before(known.at.Truncate(time.Second)) {
		return false
	}
	delete(w.refusals, seen.owner)
	return true
}

// denied is the finding by Events.
func (w *Watcher) denied(workload *Workload, now time.Time) (Finding, time.Time) {
	known := w.refusals[workload.UID]
	if known == nil || !workload.Since.IsZero() && known.seen.Before(workload.Since.Add(-clockSkew)) {
		return Finding{}, time.Time{}
	}
	since := known.first
	if workload.Since.After(since) {
		since = workload.Since
	}
	as := Workload{Refusal: known.message, RefusedSince: since}
	return as.refused(now)
}
