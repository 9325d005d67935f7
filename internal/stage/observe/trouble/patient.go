package trouble

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/kube/stream"
)

// patient is what stays of a Pod that does not come up.
type patient struct {
	uid, owner types.UID
	revision   string
	reason     Reason
	message    string
	blame      blame
	backOff    bool
	since      time.Time // when it was seen with this reason first
	ripe       time.Time // when it counts; zero for not yet, as far as anybody knows
	calm       time.Time // since when it is ready again after a crash loop; zero for not
}

func (w *Watcher) openPods(ctx context.Context, current *session) {
	follow(ctx, w, current, intake[*pod]{look: lookAtPod, put: w.putPod, drop: w.dropPod, replace: w.replacePods})
}

// patientAt returns the patient of a place, or nil.
func (w *Watcher) patientAt(at place) *patient {
	key, found := w.places[at]
	if !found {
		return nil
	}
	return w.sick[key][at.name]
}

func (w *Watcher) putPod(at place, seen *pod) []Key {
	if seen == nil {
		return w.dropPod(at)
	}
	var keys []Key
	if w.granted(seen) {
		keys = append(keys, seen.key)
	}
	before := w.patientAt(at)
	if before == nil && seen.ailment == nil {
		return keys // nearly always
	}
	if before != nil && before.uid != seen.uid {
		keys = append(keys, w.dropPod(at)...)
		before = nil
	}
	next := before.see(seen, w.options.Now())
	if next == nil {
		return append(keys, w.dropPod(at)...)
	}
	if before == nil {
		w.admit(at, seen.key)
	}
	w.sick[seen.key][at.name] = next
	if !next.calm.IsZero() {
		time.AfterFunc(calmWindow, func() { w.change(func() []Key { return w.discharge(at, next) }) })
	}
	return append(keys, seen.key)
}

// discharge forgets a Pod that has been ready for long enough after a crash loop.
func (w *Watcher) discharge(at place, calm *patient) []Key {
	if known := w.patientAt(at); known == nil || !known.calm.Equal(calm.calm) {
		return nil
	}
	return w.dropPod(at)
}

func (w *Watcher) admit(at place, key Key) {
	if w.sick[key] == nil {
		w.sick[key] = map[string]*patient{}
	}
	w.places[at] = key
}

// dropPod forgets a Pod.
func (w *Watcher) dropPod(at place) []Key {
	key, found := w.places[at]
	if !found {
		return nil
	}
	delete(w.places, at)
	delete(w.sick[key], at.name)
	if len(w.sick[key]) == 0 {
		delete(w.sick, key)
		w.spareSets()
	}
	return []Key{key}
}

// replacePods takes in a complete list.
func (w *Watcher) replacePods(items []stream.Item[*pod]) []Key {
	var keys []Key
	listed := make(map[place]bool, len(w.places))
	for _, item := range items {
		at := place{item.Namespace, item.Name}
		if _, known := w.places[at]; known {
			listed[at] = true
		}
		keys = append(keys, w.putPod(at, item.Value)...)
		if _, known := w.places[at]; known {
			listed[at] = true
		}
	}
	for at := range w.places {
		if !listed[at] {
			keys = append(keys, w.dropPod(at)...)
		}
	}
	return keys
}

func (w *Watcher) forgetPods() []Key {
	keys := make([]Key, 0, len(w.sick))
	for key := range w.sick {
		keys = append(keys, key)
	}
	clear(w.sick)
	clear(w.places)
	w.spareSets()
	return keys
}

// see returns what a Pod is after it was seen once more; nil for well. The receiver is what it was
// before, and may be nil.
func (before *patient) see(seen *pod, now time.Time) *patient {
	ill := seen.ailment
	if ill == nil {
		return before.recover(seen.ready, now)
	}
	next := &patient{
		uid: seen.uid, owner: seen.owner, revision: seen.revision,
		reason: ill.reason, message: ill.message, blame: ill.blame, backOff: ill.backOff, since: now,
	}
	window := ill.window
	if before != nil && before.reason == ill.reason {
		next.since = before.since
		next.backOff = ill.backOff || before.backOff
		if ill.reason == ImagePull && ill.blame == blameNobody && before.blame != blameNobody {
			// The kubelet told the cause when it tried, and only that it waits since.
			next.blame, next.message, window = before.blame, before.message, 0
		}
	}
	if next.backOff && next.blame != blameWay {
		next.ripe = next.since.Add(window)
	}
	return next
}

// recover returns what a Pod is of which no container is ill at the moment. One that crashed again
// and again may just be between two crashes.
func (before *patient) recover(ready bool, now time.Time) *patient {
	if before == nil || before.reason != CrashLoop {
		return nil
	}
	next := *before
	switch {
	case !ready:
		next.calm = time.Time{}
	case next.calm.IsZero():
		next.calm = now
	}
	return &next
}

// sickPod returns the finding by the Pods of a workload's newest generation: of several, by the one
// that was ill first.
func (w *Watcher) sickPod(workload *Workload, now time.Time) (Finding, time.Time) {
	patients := w.sick[workload.Key]
	if len(patients) == 0 {
		return Finding{}, time.Time{}
	}
	if workload.Kind == deployment {
		w.sets.want(true)
	}
	if !workload.Observed {
		return Finding{}, time.Time{}
	}
	var worst *patient
	var name string
	var next time.Time
	for candidate, p := range patients {
		switch {
		case p.ripe.IsZero() || !w.ofNewest(workload, p):
		case now.Before(p.ripe):
			next = sooner(next, p.ripe)
		case worst == nil || p.ripe.Before(worst.ripe) || p.ripe.Equal(worst.ripe) && candidate < name:
			worst, name = p, candidate
		}
	}
	if worst == nil {
		return Finding{}, next
	}
	return Finding{Reason: worst.reason, Message: "Pod " + name + ": " + worst.message}, time.Time{}
}

// ofNewest tells whether a Pod is of a workload's newest generation.
func (w *Watcher) ofNewest(workload *Workload, p *patient) bool {
	switch workload.Kind {
	case deployment:
		newest, known := w.newest[workload.UID]
		return known && newest.uid == p.owner && newest.revision == workload.Revision
	case job:
		return p.owner == workload.UID
	default:
		return p.owner == workload.UID && p.revision == workload.Revision
	}
}
