package stream

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// across streams all namespaces, or where that is forbidden those that the target names.
func across[T any](ctx context.Context, open func(namespace string) opener, target Target, sink Sink[T], log logr.Logger) {
	if wide(ctx, open, target, sink, log) {
		inNamespaces(ctx, open, target, sink, log)
	}
}

// wide streams all namespaces, and returns true when the server forbids that and there are namespaces
// to stream instead.
func wide[T any](ctx context.Context, open func(namespace string) opener, target Target, sink Sink[T], log logr.Logger) (refused bool) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	link := sink.Link
	sink.Link = func(err error) {
		if apierrors.IsForbidden(err) && len(target.Narrow()) > 0 {
			refused = true
			stop()
			return
		}
		link(err)
	}
	run(ctx, &source[T]{open: open(""), target: target, sink: sink, silence: maxSilence}, log)
	return refused
}

// narrow makes one stream of several, each of one namespace.
type narrow[T any] struct {
	log    logr.Logger
	afresh context.CancelFunc // begins anew, with complete lists

	lock     sync.Mutex // held while the sink is told: it hears one thing after the other
	sink     Sink[T]
	parts    map[string]*part[T]
	complete bool  // the sink has the first list
	told     error // what the sink was told last of the connection
	linked   bool  // it was told anything
}

// part is the stream of one namespace.
type part[T any] struct {
	known     map[string]Item[T] // by name; without values once the sink has them
	at        Position
	listed    bool
	forbidden bool
	err       error
}

// inNamespaces streams the namespaces that the target names now, until ctx is done. A namespace that
// is forbidden, too, holds up none of the others.
func inNamespaces[T any](ctx context.Context, open func(namespace string) opener, target Target, sink Sink[T], log logr.Logger) {
	for ctx.Err() == nil {
		names := target.Narrow()
		log.Info("no right to watch all namespaces: watching those in use", "namespaces", names)
		once, stop := context.WithCancel(ctx)
		n := &narrow[T]{log: log, afresh: stop, sink: sink, parts: map[string]*part[T]{}}
		for _, name := range names {
			n.parts[name] = &part[T]{known: map[string]Item[T]{}}
		}
		var streams sync.WaitGroup
		for _, name := range names {
			one := target
			one.Namespace = name
			streams.Go(func() {
				run(once, &source[T]{open: open(name), target: one, sink: n.of(name), silence: maxSilence}, log)
			})
		}
		streams.Wait()
		stop()
	}
}

// of is the sink of one namespace's stream.
func (n *narrow[T]) of(name string) Sink[T] {
	locked := func(do func(p *part[T])) {
		n.lock.Lock()
		defer n.lock.Unlock()
		do(n.parts[name])
	}
	return Sink[T]{
		Look:    func(object metav1.Object) T { return n.sink.Look(object) },
		Put:     func(item Item[T]) { locked(func(p *part[T]) { n.put(p, item) }) },
		Drop:    func(item Item[T]) { locked(func(p *part[T]) { n.drop(p, item) }) },
		Replace: func(items []Item[T], at Position) { locked(func(p *part[T]) { n.replace(p, items, at) }) },
		Link:    func(err error) { locked(func(p *part[T]) { n.link(name, p, err) }) },
	}
}

func (n *narrow[T]) put(p *part[T], item Item[T]) {
	p.at.ResourceVersion = item.ResourceVersion
	p.known[item.Name] = n.kept(item)
	if n.complete {
		n.sink.Put(item)
	}
}

func (n *narrow[T]) drop(p *part[T], item Item[T]) {
	p.at.ResourceVersion = item.ResourceVersion
	delete(p.known, item.Name)
	if n.complete {
		n.sink.Drop(item)
	}
}

// kept is what is remembered of an item.
func (n *narrow[T]) kept(item Item[T]) Item[T] {
	if n.complete {
		var none T
		item.Value = none
	}
	return item
}

// replace takes in a complete list of one namespace. The sink gets the first ones of all together, and
// of later ones what is different.
func (n *narrow[T]) replace(p *part[T], items []Item[T], at Position) {
	if n.complete && at.Latest && older(at.ResourceVersion, p.at.ResourceVersion) {
		n.afresh() // history was turned back; the sink knows what that means for a complete list
		return
	}
	former := p.known
	p.known, p.at, p.listed, p.forbidden = make(map[string]Item[T], len(items)), at, true, false
	for _, item := range items {
		p.known[item.Name] = n.kept(item)
		if n.complete && former[item.Name].ResourceVersion != item.ResourceVersion {
			n.sink.Put(item)
		}
		delete(former, item.Name)
	}
	if !n.complete {
		n.begin()
		return
	}
	for _, gone := range former {
		gone.ResourceVersion = at.ResourceVersion
		n.sink.Drop(gone)
	}
}

// link takes in whether the stream of one namespace stands.
func (n *narrow[T]) link(name string, p *part[T], err error) {
	forbidden := apierrors.IsForbidden(err)
	if forbidden && !p.forbidden {
		n.log.Info("no right to watch a namespace either", "namespace", name, "cause", err.Error())
	}
	p.forbidden, p.err = forbidden, err
	n.begin()
	n.tell()
}

// begin gives the sink the first list, once every namespace has told its own, or is forbidden.
func (n *narrow[T]) begin() {
	if n.complete {
		return
	}
	var (
		items []Item[T]
		at    *Position
	)
	for _, name := range slices.Sorted(maps.Keys(n.parts)) {
		p := n.parts[name]
		switch {
		case p.listed:
			items = slices.AppendSeq(items, maps.Values(p.known))
			if at == nil {
				at = &Position{ResourceVersion: p.at.ResourceVersion, Latest: true}
			}
			// The oldest counts: what is newer than a list is not judged by it.
			if older(p.at.ResourceVersion, at.ResourceVersion) {
				at.ResourceVersion = p.at.ResourceVersion
			}
			at.Latest = at.Latest && p.at.Latest
		case !p.forbidden:
			return
		}
	}
	if at == nil {
		return // all are forbidden
	}
	n.complete = true
	slices.SortFunc(items, func(a, b Item[T]) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	n.sink.Replace(items, *at)
	for _, p := range n.parts {
		for name, item := range p.known {
			p.known[name] = n.kept(item)
		}
	}
	n.tell()
}

// tell passes on whether the stream stands as a whole, where that has changed. A namespace that is
// forbidden counts only when there is no other.
func (n *narrow[T]) tell() {
	var broken, forbidden error
	for _, name := range slices.Sorted(maps.Keys(n.parts)) {
		switch p := n.parts[name]; {
		case p.forbidden:
			forbidden = cmp.Or(forbidden, p.err)
		case p.err != nil:
			broken = cmp.Or(broken, p.err)
		}
	}
	if broken == nil && !n.complete {
		if forbidden == nil {
			return // the first list says it
		}
		broken = forbidden
	}
	if n.linked && (broken == nil) == (n.told == nil) {
		return
	}
	n.told, n.linked = broken, true
	n.sink.Link(broken)
}

// older tells whether a resource version comes before another. Those that are no numbers do not
// compare.
func older(a, b string) bool {
	x, err := strconv.ParseUint(a, 10, 64)
	y, errToo := strconv.ParseUint(b, 10, 64)
	return err == nil && errToo == nil && x < y
}
