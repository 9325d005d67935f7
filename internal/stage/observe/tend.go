package observe

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"golang.org/x/sync/errgroup"
)

// Pauses of the tender. It is the one place where this package asks without being told to, and only
// for kinds that are not served.
const (
	askTimeout  = 30 * time.Second // of one discovery or read
	longPause   = 5 * time.Minute
	readPause   = 5 * time.Second // after a read that went wrong
	readAtOnce  = 4
	errorPause  = time.Second // after a discovery that went wrong, doubling
	unservedMin = 30 * time.Second
)

// lostPause grows from nothing: the first time, the definition may just have changed.
func lostPause(tries int) time.Duration {
	if tries == 0 {
		return 0
	}
	return doubled(time.Second, tries-1)
}

func doubled(pause time.Duration, times int) time.Duration {
	for range times {
		if pause *= 2; pause >= longPause {
			return longPause
		}
	}
	return pause
}

// tend starts and ends streams until the observer stops. It is the only goroutine that does, so that
// Claim never waits for a server.
func (o *Observer) tend() {
	for {
		due, lost := o.review()
		if lost {
			o.cluster.Forget()
		}
		for _, f := range due {
			o.try(f)
		}
		o.reread()
		o.lock.Lock()
		next, some := o.next()
		o.lock.Unlock()
		timer := time.NewTimer(next)
		if !some {
			timer.Stop()
		}
		select {
		case <-o.ctx.Done():
			timer.Stop()
			return
		case <-o.kick:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// review dismisses feeds that nobody used for long, and returns those whose start is due.
func (o *Observer) review() (due []*feed, lost bool) {
	o.lock.Lock()
	defer o.lock.Unlock()
	now := o.options.Now()
	unserved := false
	for f := range o.feeds {
		if f.outdated() {
			o.halt(f)
			f.due = now
		}
		switch {
		case f.users == 0 && !now.Before(f.idle.Add(o.options.Linger)):
			o.dismiss(f)
			continue
		case f.run == nil && f.users > 0 && !now.Before(f.due):
			due = append(due, f)
			lost = lost || f.lost
		}
		unserved = unserved || f.unserved
	}
	o.watchDefinitions(unserved)
	o.watchTrouble()
	return due, lost
}

// next returns how long until something is due, if anything is.
func (o *Observer) next() (time.Duration, bool) {
	var at time.Time
	for f := range o.feeds {
		var due time.Time
		switch {
		case f.users == 0:
			due = f.idle.Add(o.options.Linger)
		case f.run == nil:
			due = f.due
		default:
			continue
		}
		if at.IsZero() || due.Before(at) {
			at = due
		}
	}
	if at.IsZero() {
		return 0, false
	}
	return max(0, at.Sub(o.options.Now())), true
}

// try maps the kind of a feed and starts its stream.
func (o *Observer) try(f *feed) {
	ctx, cancel := context.WithTimeout(o.ctx, askTimeout)
	defer cancel()
	o.lock.RLock()
	ref := f.probe()
	o.lock.RUnlock()
	mapping, err := o.cluster.Map(ctx, ref)
	o.lock.Lock()
	defer o.lock.Unlock()
	if _, wanted := o.feeds[f]; !wanted || f.run != nil || o.ctx.Err() != nil {
		return
	}
	switch now := o.options.Now(); {
	case err == nil:
		o.start(f, mapping)
	case meta.IsNoMatchError(err) && f.synced && !f.unserved && !f.missed:
		// One of several API servers may be behind the others: what we saw is not gone for that.
		f.missed, f.lost, f.due = true, true, now.Add(errorPause)
	case meta.IsNoMatchError(err):
		if !f.unserved {
			o.unserve(f)
			f.tries = 0
		}
		f.due = now.Add(f.unservedPause())
		f.tries++
	default:
		o.connected(f, err)
		f.due = now.Add(min(doubled(errorPause, f.tries), unservedMin))
		f.tries++
	}
}

// unservedPause is short while a definition of the group is changing, and long otherwise.
func (f *feed) unservedPause() time.Duration {
	if f.tries < 0 {
		return settlePause
	}
	return doubled(unservedMin, f.tries)
}

// reread reads objects once more whose judgement changed after they were dropped. At most one such
// round is under way.
func (o *Observer) reread() {
	o.lock.Lock()
	defer o.lock.Unlock()
	if o.reading || len(o.unread) == 0 {
		return
	}
	o.reading = true
	records := make([]*record, 0, len(o.unread))
	for r := range o.unread {
		records = append(records, r)
	}
	clear(o.unread)
	o.rereads += uint64(len(records))
	o.tasks.Go(func() {
		var group errgroup.Group
		group.SetLimit(readAtOnce)
		for _, r := range records {
			group.Go(func() error { return o.read(r) })
		}
		_ = group.Wait() // each read puts itself back on the list when it went wrong
		o.lock.Lock()
		defer o.lock.Unlock()
		o.reading = false
		if len(o.unread) > 0 {
			o.hurry()
		}
	})
}

// read reads one object and takes it in.
func (o *Observer) read(r *record) error {
	o.lock.RLock()
	version := ""
	if len(r.links) > 0 {
		version = r.links[0].version
	}
	ref := r.ref(version)
	o.lock.RUnlock()
	ctx, cancel := context.WithTimeout(o.ctx, askTimeout)
	defer cancel()
	u, err := o.cluster.Get(ctx, ref)
	switch {
	case err == nil:
		s := o.look(r.kind, u)
		o.lock.Lock()
		defer o.lock.Unlock()
		o.take(r, s, reread)
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err), o.ctx.Err() != nil:
	default:
		time.AfterFunc(readPause, func() { o.readAgain(r) })
	}
	return err
}

func (o *Observer) readAgain(r *record) {
	o.lock.Lock()
	defer o.lock.Unlock()
	if o.ctx.Err() == nil && r.unjudged() {
		o.unread[r] = struct{}{}
		o.hurry()
	}
}
