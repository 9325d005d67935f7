package observe

import (
	"context"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/kube/stream"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/observe/trouble"
)

// feed is a watch, wanted or running: of all labelled objects of a kind, or of a single object.
type feed struct {
	kind     *kind
	only     *record // nil for all labelled objects
	version  string  // the API version in which it watches
	versions map[string]int
	users    int // links that it serves, of all versions
	idle     time.Time
	waiters  map[*claim]struct{} // to be told when it is in sync

	run      *run // nil while it does not run
	synced   bool // it has told its first state
	unserved bool // the server does not serve the kind
	lost     bool // it was served, and then not found any more
	missed   bool // nor was it in a new discovery, once
	err      error
	tries    int
	due      time.Time       // of the next attempt to start it
	within   map[string]bool // the namespaces that it watches, where it may not watch all
	top      string          // the latest resource version that it brought
}

// run is one life of a feed's stream. What comes from one that is over is not heard.
type run struct {
	feed *feed
	stop context.CancelFunc
}

// outdated tells whether nobody names the objects in the API version any more in which the feed
// watches them, and changes that version to the one that most do.
func (f *feed) outdated() bool {
	if f.users == 0 || f.versions[f.version] > 0 {
		return false
	}
	best := ""
	for version, count := range f.versions {
		if best == "" || count > f.versions[best] || count == f.versions[best] && version < best {
			best = version
		}
	}
	f.version = best
	return true
}

// probe names an object of the feed's kind.
func (f *feed) probe() object.Ref {
	return object.Ref{Group: f.kind.gk.Group, Version: f.version, Kind: f.kind.gk.Kind}
}

func (f *feed) inSync() bool { return f != nil && f.synced }

// start runs a feed's stream. The lock is held.
func (o *Observer) start(f *feed, mapping kube.Mapping) {
	ctx, stop := context.WithCancel(o.ctx)
	current := &run{feed: f, stop: stop}
	f.run, f.lost, f.missed, f.within = current, false, false, nil
	target := stream.Target{Resource: mapping.Resource, Labels: o.options.Family.NameLabel()}
	if f.only != nil {
		target.Labels, target.Fields = "", stream.One(f.only.at.name)
		if mapping.Namespaced {
			target.Namespace = f.only.at.namespace
		}
	}
	if f.only == nil && mapping.Namespaced {
		target.Narrow = func() []string { return o.narrow(current) }
	}
	log := o.options.Log.WithValues("resource", mapping.Resource.GroupResource().String())
	o.tasks.Go(func() { stream.Run(ctx, o.cluster, target, o.sink(current), log) })
}

// narrow returns the namespaces that objects of a kind are in, for a feed that may not watch all.
func (o *Observer) narrow(current *run) []string {
	o.lock.Lock()
	defer o.lock.Unlock()
	f := current.feed
	if f.run != current {
		return nil
	}
	f.within = map[string]bool{}
	for at, r := range f.kind.records {
		if len(r.links) > 0 && at.namespace != "" {
			f.within[at.namespace] = true
		}
	}
	return slices.Sorted(maps.Keys(f.within))
}

// reach makes a feed that watches some namespaces only begin anew when an object in another one is
// wanted. The lock is held.
func (o *Observer) reach(f *feed, namespace string) {
	if len(f.within) == 0 || namespace == "" || f.within[namespace] {
		return
	}
	o.halt(f)
	f.synced, f.within, f.due = false, nil, o.options.Now()
}

func (o *Observer) sink(current *run) stream.Sink[sighting] {
	k := current.feed.kind
	return stream.Sink[sighting]{
		Look: func(seen metav1.Object) sighting { return o.look(k, seen) },
		Put: func(item stream.Item[sighting]) {
			o.hear(current, func(f *feed) { o.put(f, item) })
		},
		Drop: func(item stream.Item[sighting]) {
			o.hear(current, func(f *feed) { o.drop(f, item) })
		},
		Replace: func(items []stream.Item[sighting], at stream.Position) {
			o.hear(current, func(f *feed) { o.replace(f, items, at) })
		},
		Link: func(err error) {
			o.hear(current, func(f *feed) { o.connected(f, err) })
		},
	}
}

// hear takes in what a stream brings, unless its time is over.
func (o *Observer) hear(current *run, take func(*feed)) {
	o.lock.Lock()
	defer o.lock.Unlock()
	if current.feed.run == current && o.ctx.Err() == nil {
		take(current.feed)
	}
}

// look makes a sighting of an object. It is where an object ends: nothing of it is kept but copies
// of a few strings.
func (o *Observer) look(k *kind, seen metav1.Object) sighting {
	u, ok := seen.(*unstructured.Unstructured)
	if !ok {
		return sighting{version: seen.GetResourceVersion()} // never: feeds watch whole objects
	}
	now := o.options.Now()
	s := sighting{
		uid: u.GetUID(), version: u.GetResourceVersion(), generation: u.GetGeneration(),
		deleting: u.GetDeletionTimestamp() != nil,
		rules:    o.options.Family.RulesOf(u),
		verdict:  builtin(u, now),
	}
	s.owner, s.hasOwner = o.options.Family.OwnerOf(u.GetLabels())
	if trouble.Runs(k.gk) && !s.deleting {
		s.workload = trouble.Of(u)
	}
	h, _ := o.hashers.Get().(*hasher)
	s.token, s.content = h.tokenOf(u, o.options.Manager, o.options.Family), h.contentOf(u)
	o.hashers.Put(h)
	for _, rule := range o.rulesFor(k, place{u.GetNamespace(), u.GetName()}) {
		own := ownVerdict{judge: rule, status: Terminating, message: s.verdict.message}
		if !s.deleting {
			own.status, own.message = rule.judge(o.ctx, u)
		}
		s.own = append(s.own, own)
	}
	return s
}

// rulesFor returns the units' own rules for an object.
func (o *Observer) rulesFor(k *kind, at place) []*judge {
	o.lock.RLock()
	defer o.lock.RUnlock()
	r := k.records[at]
	if r == nil {
		return nil
	}
	var rules []*judge
	for _, link := range r.links {
		if link.judge != nil {
			rules = append(rules, link.judge)
		}
	}
	return rules
}

// connected takes in whether the stream stands. The lock is held.
func (o *Observer) connected(f *feed, err error) {
	log := o.options.Log
	switch {
	case err != nil && f.err == nil:
		log.Info("watch broken", "kind", f.kind.gk.String(), "cause", err.Error())
	case err == nil && f.err != nil:
		log.Info("watch restored", "kind", f.kind.gk.String())
	}
	f.err = err
	if err != nil && apierrors.IsNotFound(err) {
		// The resource is not there: its definition was deleted, or another version is served now.
		o.halt(f)
		f.lost, f.due = true, o.options.Now().Add(lostPause(f.tries))
		f.tries++
		o.hurry()
	}
}

// halt ends the life of a feed's stream.
func (o *Observer) halt(f *feed) {
	if f.run != nil {
		f.run.stop()
		f.run = nil
	}
}

// dismiss drops a feed that nobody uses any more, and what only it could tell.
func (o *Observer) dismiss(f *feed) {
	o.halt(f)
	delete(o.feeds, f)
	if f.only != nil {
		f.only.feed = nil
		o.tidy(f.only)
		return
	}
	f.kind.feed = nil
	for _, r := range f.kind.records {
		o.tidy(r)
	}
	if len(f.kind.records) == 0 {
		delete(o.kinds, f.kind.gk)
	}
}

// unserve notes that the server does not serve the kind of a feed. What existed of it is gone.
func (o *Observer) unserve(f *feed) {
	f.unserved, f.lost, f.missed = true, false, false
	f.err = nil
	if f.synced {
		for _, r := range f.records() {
			if r.exists {
				o.finish(r, r.version)
			}
		}
	}
	o.settle(f)
	o.hurry() // to watch definitions
}

// records returns the records that a feed tells of.
func (f *feed) records() []*record {
	if f.only != nil {
		return []*record{f.only}
	}
	list := make([]*record, 0, len(f.kind.records))
	for _, r := range f.kind.records {
		list = append(list, r)
	}
	return list
}
