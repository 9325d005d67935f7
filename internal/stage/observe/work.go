package observe

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"holdfast.dev/holdfast/internal/stage/observe/trouble"
)

// work is what stays of an object that runs Pods, beside its record: what they may say against it
// depends on it. Times are in Unix nanoseconds, zero for none.
type work struct {
	revision, refusal   string
	since, refusedSince int64
	again               int64 // when a timer looks at it again

	// What its own fields say.
	status  Status
	reason  Reason
	message string
	final   bool

	observed, draining bool
}

// newWork packs a sighting's workload.
func newWork(w *trouble.Workload, fields verdict) *work {
	return &work{
		revision: w.Revision, refusal: w.Refusal, observed: w.Observed, draining: w.Draining,
		since: nanoseconds(w.Since), refusedSince: nanoseconds(w.RefusedSince),
		status: fields.status, reason: fields.reason, message: fields.message, final: fields.final,
	}
}

// workload unpacks what newWork packed; nil where the object runs no Pods.
func (r *record) workload() *trouble.Workload {
	if r.work == nil {
		return nil
	}
	return &trouble.Workload{
		Key: trouble.Key{Kind: r.kind.gk.Kind, Namespace: r.at.namespace, Name: r.at.name},
		UID: r.uid, Generation: r.generation, Revision: r.work.revision, Observed: r.work.observed,
		Refusal: r.work.refusal, Draining: r.work.draining,
		Since: timeOf(r.work.since), RefusedSince: timeOf(r.work.refusedSince),
	}
}

func (w *work) fields() verdict {
	return verdict{status: w.status, reason: w.reason, message: w.message, final: w.final}
}

func nanoseconds(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.UnixNano()
}

func timeOf(nanoseconds int64) time.Time {
	if nanoseconds == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanoseconds)
}

// weigh sets what the Pods of a workload say against what its own fields do, in a sighting that is
// about to be admitted.
func (o *Observer) weigh(r *record, s *sighting, now time.Time) {
	if s.workload == nil {
		return
	}
	s.workload.Follow(r.workload(), now)
	s.work = newWork(s.workload, s.verdict)
	if r.work != nil {
		s.work.again = r.work.again
	}
	s.verdict = o.verdictOn(r, s.work, s.workload)
}

// verdictOn is the verdict on a workload. Its own fields decide where they say that it failed, is
// over or goes away; that they call it well counts for less than a crash loop between two crashes.
func (o *Observer) verdictOn(r *record, w *work, as *trouble.Workload) verdict {
	if w.final || w.status == Failed || w.status == Terminating {
		return w.fields()
	}
	found, again := o.trouble.Find(as, w.status == Current)
	if next := nanoseconds(again); next != w.again {
		if w.again = next; next != 0 {
			time.AfterFunc(again.Sub(o.options.Now()), func() { o.reweigh(r) })
		}
	}
	if found.Reason == "" {
		return w.fields()
	}
	return verdict{status: Failed, reason: Reason(found.Reason), message: found.Message}
}

// reweigh looks at a workload again, because time has passed.
func (o *Observer) reweigh(r *record) {
	o.lock.Lock()
	defer o.lock.Unlock()
	if o.ctx.Err() == nil && r.work != nil {
		r.work.again = 0
		o.reconsider(r)
	}
}

// troubled takes in that the Pods of workloads have changed.
func (o *Observer) troubled(keys []trouble.Key) {
	o.lock.Lock()
	defer o.lock.Unlock()
	if o.ctx.Err() != nil {
		return
	}
	for _, key := range keys {
		gk := schema.GroupKind{Group: "apps", Kind: key.Kind}
		if key.Kind == "Job" {
			gk.Group = "batch"
		}
		if k := o.kinds[gk]; k != nil {
			if r := k.records[place{key.Namespace, key.Name}]; r != nil {
				o.reconsider(r)
			}
		}
	}
}

// reconsider judges a workload anew. The lock is held.
func (o *Observer) reconsider(r *record) {
	if r.work == nil || !r.exists || r.deleting {
		return
	}
	was := r.facts()
	r.judged(o.verdictOn(r, r.work, r.workload()), o.options.Now())
	o.tell(r, was, watched)
}

// attend notes whether Events have to be watched for a workload.
func (o *Observer) attend(r *record) {
	lacks := r.work != nil && r.exists && !r.deleting && len(r.links) > 0 &&
		trouble.ByEvents(r.kind.gk.Kind) && r.work.status == InProgress
	if _, noted := o.lacking[r]; noted == lacks {
		return
	}
	if lacks {
		o.lacking[r] = struct{}{}
	} else {
		delete(o.lacking, r)
	}
	o.watchTrouble()
}

// watchTrouble has Pods watched while units have workloads, and Events while one of those may need
// them. The lock is held.
func (o *Observer) watchTrouble() {
	workloads := false
	for f := range o.feeds {
		if workloads = trouble.Runs(f.kind.gk); workloads {
			break
		}
	}
	o.trouble.Want(workloads, len(o.lacking) > 0)
}
