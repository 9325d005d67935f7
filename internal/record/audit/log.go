package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/database"
)

// Mode says what follows when the store is down.
type Mode string

// The modes.
const (
	// Required fails Record when an entry cannot be kept, so that no act follows that it announces.
	Required Mode = "required"
	// BestEffort keeps entries in memory until the store is back, and says how many were lost where
	// there were too many.
	BestEffort Mode = "best-effort"
)

// Unavailable is the reason of errors that come of a store that is down.
const Unavailable = "AuditUnavailable"

// Options are the settings of a Log. The zero value of each is the right default.
type Options struct {
	Mode Mode // empty means Required
	// Queue is how many entries BestEffort keeps in memory; 0 means 10,000.
	Queue int
	// Patience is how long BestEffort lets Record wait for the store; 0 means two seconds.
	Patience time.Duration
	// Pause is the time between two attempts on a store that is down; 0 means a second.
	Pause time.Duration

	// Age and Count limit how long and how many records keep their bodies; 0 is for ever, and all.
	Age   time.Duration
	Count int64

	// Key signs checkpoints; nil means that none are made.
	Key KeySource
	// Anchors keep the last checkpoint outside of the store.
	Anchors []Anchor
	// CheckpointEvery and AnchorEvery are the shortest times between two of them; 0 means a second, and
	// ten seconds.
	CheckpointEvery, AnchorEvery time.Duration

	Now func() time.Time // nil means time.Now
	Log logr.Logger
}

func (o Options) complete() Options {
	orDefault := func(value *time.Duration, otherwise time.Duration) {
		if *value == 0 {
			*value = otherwise
		}
	}
	orDefault(&o.Patience, 2*time.Second)
	orDefault(&o.Pause, time.Second)
	orDefault(&o.CheckpointEvery, time.Second)
	orDefault(&o.AnchorEvery, 10*time.Second)
	if o.Mode == "" {
		o.Mode = Required
	}
	if o.Queue == 0 {
		o.Queue = 10000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	return o
}

// Log is an audit log that is written to. It implements record.Recorder.
type Log struct {
	db      *database.DB
	options Options
	queue   *queue
	written chan struct{} // has room for one: there is something to sign
	// known is the tree as we wrote or verified it last; nil before the store was first reached.
	known atomic.Pointer[tree]
	// prepared tells that the tables are there. Only the writer uses it.
	prepared bool
	down     atomic.Bool
	doubt    *doubt // only the writer uses it
}

// New makes a log that is kept in db, which the caller closes after Run. What is recorded before Run
// waits for it.
func New(db *database.DB, options Options) *Log {
	options = options.complete()
	limit := 0 // whoever waits for its record makes no further ones
	if options.Mode == BestEffort {
		limit = options.Queue
	}
	return &Log{db: db, options: options, queue: newQueue(limit), written: make(chan struct{}, 1)}
}

// Run writes what is recorded until ctx ends and everything that waits is written, or cannot be.
func (l *Log) Run(ctx context.Context) error {
	last, stop := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx until everything is written
	defer stop()
	var writing, others sync.WaitGroup
	end := context.AfterFunc(ctx, l.queue.close)
	defer end()
	writing.Go(func() { l.write(ctx) })
	others.Go(func() { l.retainNowAndThen(ctx) })
	if l.options.Key != nil {
		others.Go(func() { l.signNowAndThen(last) })
	}
	writing.Wait()
	stop()
	others.Wait()
	return nil
}

var errStopped = errors.New("the audit log has stopped")

// Record implements record.Recorder. With Required it returns when the entry is durable, or an error;
// after an error that came of ctx the entry may be kept all the same. With BestEffort it returns no
// error: where the store is down or slow, the entry waits in memory.
func (l *Log) Record(ctx context.Context, entry record.Entry) error {
	body, err := encode(entry, l.options.Now())
	if err != nil {
		return l.refused(entry, err)
	}
	entryWaits := &waiting{body: body, done: make(chan error, 1)}
	added, closed := l.queue.add(entryWaits, l.options.Now())
	switch {
	case closed:
		return l.refused(entry, errStopped)
	case l.options.Mode == BestEffort:
		if added && !l.down.Load() {
			l.wait(ctx, entryWaits)
		}
		return nil
	}
	select {
	case err := <-entryWaits.done:
		return l.refused(entry, err)
	case <-ctx.Done():
		return l.refused(entry, ctx.Err())
	}
}

// wait waits for a record to be written, for as long as BestEffort may.
func (l *Log) wait(ctx context.Context, w *waiting) {
	patience := time.NewTimer(l.options.Patience)
	defer patience.Stop()
	select {
	case <-w.done: //nolint:errcheck // the writer tells of errors; with BestEffort the caller is not told
	case <-patience.C:
	case <-ctx.Done():
	}
}

// refused tells why an entry is not kept: the caller, or the log where the caller must not care.
func (l *Log) refused(entry record.Entry, err error) error {
	if err == nil {
		return nil
	}
	if l.options.Mode == BestEffort {
		l.options.Log.Error(err, "an entry is not recorded", "kind", entry.Kind, "subject", subjectOf(entry.Subject))
		return nil
	}
	return fault.Because(Unavailable, fmt.Errorf("recording %s of %s: %w", entry.Kind, subjectOf(entry.Subject), err))
}

// Stats says how a log does.
type Stats struct {
	Size    int64 // records
	Down    bool  // the last attempt to write failed
	Waiting int   // entries that are not written yet
	Lost    int   // entries that found no room since the store is down
	// Lag is how long the oldest entry waits that is not written yet; 0 is none.
	Lag time.Duration
}

// Stats returns how the log does.
func (l *Log) Stats() Stats {
	stats := Stats{Down: l.down.Load()}
	stats.Waiting, stats.Lost = l.queue.length()
	if oldest := l.queue.oldest(); !oldest.IsZero() {
		stats.Lag = max(0, l.options.Now().Sub(oldest))
	}
	if known := l.known.Load(); known != nil {
		stats.Size = known.size
	}
	return stats
}
