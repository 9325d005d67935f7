package observe

import "unsafe"

// Stats are figures for metrics and tests.
type Stats struct {
	Watches int    // open or being opened
	Broken  int    // of those, not connected at the moment
	Claims  int    // units
	Records int    // objects remembered
	Bytes   int    // what the records take, roughly
	Events  uint64 // objects received from watches so far
	Wakes   uint64 // events delivered so far
	Rereads uint64 // objects read singly so far, because a rule for them came after they did
	Sick    int    // Pods remembered, because they do not come up
}

// And returns the figures of two observers together.
func (s Stats) And(other Stats) Stats {
	return Stats{
		Watches: s.Watches + other.Watches, Broken: s.Broken + other.Broken, Claims: s.Claims + other.Claims,
		Records: s.Records + other.Records, Bytes: s.Bytes + other.Bytes, Events: s.Events + other.Events,
		Wakes: s.Wakes + other.Wakes, Rereads: s.Rereads + other.Rereads, Sick: s.Sick + other.Sick,
	}
}

// Stats returns the figures.
func (o *Observer) Stats() Stats {
	o.lock.RLock()
	defer o.lock.RUnlock()
	stats := Stats{Claims: len(o.claims), Events: o.events, Wakes: o.waker.count(), Rereads: o.rereads}
	for f := range o.feeds {
		if f.run != nil {
			stats.Watches++
		}
		if f.err != nil {
			stats.Broken++
		}
	}
	ward := o.trouble.Stats()
	stats.Watches += ward.Watches
	stats.Sick = ward.Sick
	if o.definitions != nil {
		stats.Watches++
	}
	for _, k := range o.kinds {
		stats.Records += len(k.records)
		for _, r := range k.records {
			stats.Bytes += r.size()
		}
	}
	return stats
}

// size is what a record takes in memory, roughly: itself, its strings, its place in the map, and the
// entries of the claims that name it.
func (r *record) size() int {
	size := int(unsafe.Sizeof(*r)) + 2*int(unsafe.Sizeof(r.at)+unsafe.Sizeof(r))
	size += len(r.at.namespace) + len(r.at.name) + len(r.uid) + len(r.version) + len(r.expectedAt) + len(r.message)
	size += len(r.links) * int(unsafe.Sizeof(link{})+unsafe.Sizeof(entry{}))
	if r.work != nil {
		size += int(unsafe.Sizeof(*r.work)) + len(r.work.refusal)
	}
	return size + len(r.own)*int(unsafe.Sizeof(ownVerdict{}))
}
