package audit

import (
	"context"
	"sync"
	"time"
)

// waiting is a record that is not written yet.
type waiting struct {
	body  []byte
	since time.Time
	done  chan error // has room for the answer
}

// answer says what became of a record. Only the first answer counts.
func (w *waiting) answer(err error) {
	select {
	case w.done <- err:
	default:
	}
}

const (
	// batchRecords and batchBytes are how much one transaction takes at most.
	batchRecords = 1024
	batchBytes   = 8 << 20
)

// queue is where records wait for the next transaction. It is safe for concurrent use.
type queue struct {
	limit int // of what waits; more is lost, and counted. 0 is no limit

	mu      sync.Mutex
	waiting []*waiting
	lost    loss
	writing time.Time // since when the oldest waits of what was taken and is not written yet; zero is none
	closed  bool
	news    chan struct{} // has room for one
}

// loss is what found no room.
type loss struct {
	count       int
	first, last time.Time
}

func newQueue(limit int) *queue { return &queue{limit: limit, news: make(chan struct{}, 1)} }

// add puts a record into the queue, and tells whether there was room.
func (q *queue) add(w *waiting, now time.Time) (added, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false, true
	}
	if q.limit > 0 && (len(q.waiting) >= q.limit || q.lost.count > 0) {
		if q.lost.count == 0 {
			q.lost.first = now
		}
		q.lost.count++
		q.lost.last = now
		return false, false
	}
	w.since = now
	q.waiting = append(q.waiting, w)
	q.wake()
	return true, false
}

func (q *queue) wake() {
	select {
	case q.news <- struct{}{}:
	default:
	}
}

// take waits for records and takes as many as one transaction may have. What was lost comes with the
// last ones before the gap. It returns nothing when ctx has ended and nothing waits.
func (q *queue) take(ctx context.Context) ([]*waiting, loss) {
	for {
		if batch, lost := q.pick(); len(batch) > 0 {
			return batch, lost
		}
		select {
		case <-q.news:
		case <-ctx.Done():
			return q.pick()
		}
	}
}

func (q *queue) pick() ([]*waiting, loss) {
	q.mu.Lock()
	defer q.mu.Unlock()
	count, size := 0, 0
	for count < len(q.waiting) && count < batchRecords && (count == 0 || size+len(q.waiting[count].body) <= batchBytes) {
		size += len(q.waiting[count].body)
		count++
	}
	batch := q.waiting[:count:count]
	if count > 0 {
		q.writing = batch[0].since
	}
	q.waiting = q.waiting[count:]
	var lost loss
	if len(q.waiting) == 0 {
		q.waiting = nil // lets go of what has been written
		lost, q.lost = q.lost, loss{}
	} else {
		q.wake()
	}
	return batch, lost
}

// written says that what was taken last does not wait any more.
func (q *queue) written() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writing = time.Time{}
}

// oldest returns since when the oldest record waits; zero is none.
func (q *queue) oldest() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.writing.IsZero() && len(q.waiting) > 0 {
		return q.waiting[0].since
	}
	return q.writing
}

// close refuses what comes from now on.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

func (q *queue) length() (waiting, lost int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting), q.lost.count
}
