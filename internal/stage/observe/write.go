package observe

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/model/object"
)

// Saw takes in an object as the server returned it in answer to a write of our own. Its fields of
// ours are the expected ones from then on, so that any other change to them is drift. Objects that
// nobody claims are passed over. Never call it with the result of a dry run; see Confirm.
func (o *Observer) Saw(u *unstructured.Unstructured) {
	k := o.lookup(u)
	if k == nil {
		return
	}
	s := o.look(k, u)
	o.lock.Lock()
	defer o.lock.Unlock()
	r := k.records[place{u.GetNamespace(), u.GetName()}]
	if r == nil || len(r.links) == 0 {
		return
	}
	o.take(r, s, wrote)
	for _, f := range []*feed{k.feed, r.feed} {
		if f != nil && f.unserved && f.run == nil {
			f.due = o.options.Now() // it is served, as we see
			o.hurry()
		}
	}
}

// Confirm tells whether the answer to a dry-run apply is what the live object is already, in content
// and in what we own of it. Then the live object becomes the expected one, as by Saw, and the apply
// need not be made. It is false whenever that is not certain.
func (o *Observer) Confirm(answer *unstructured.Unstructured) bool {
	k := o.lookup(answer)
	if k == nil {
		return false
	}
	h, _ := o.hashers.Get().(*hasher)
	token, content := h.tokenOf(answer, o.options.Manager, o.options.Family), h.contentOf(answer)
	o.hashers.Put(h)
	o.lock.Lock()
	defer o.lock.Unlock()
	r := k.records[place{answer.GetNamespace(), answer.GetName()}]
	if r == nil || !r.known() || !r.exists || r.deleting || r.uid != answer.GetUID() || r.token != token || r.content != content {
		return false
	}
	r.expected, r.expectedAt, r.held = r.token, r.version, true
	return true
}

// Removed tells that we asked the server to delete the object and it agreed. The object may go on
// existing until its finalizers have run; its end is told by an event.
func (o *Observer) Removed(ref object.Ref, uid types.UID) {
	o.lock.Lock()
	defer o.lock.Unlock()
	k := o.kinds[schema.GroupKind{Group: ref.Group, Kind: ref.Kind}]
	if k == nil {
		return
	}
	r := k.records[place{ref.Namespace, ref.Name}]
	if r == nil || !r.exists || uid != "" && r.uid != uid {
		return
	}
	was, now := r.facts(), o.options.Now()
	r.held, r.final = false, false
	r.deleting = true
	r.judged(terminating(), now)
	o.tell(r, was, wrote)
}

func (o *Observer) lookup(u *unstructured.Unstructured) *kind {
	o.lock.RLock()
	defer o.lock.RUnlock()
	return o.kinds[u.GroupVersionKind().GroupKind()]
}
