package audit

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/database"
)

// lastTries is how long a log that stops goes on trying to write what waits.
const lastTries = 5 * time.Second

// write takes what waits, one transaction after the other, until ctx has ended and nothing waits.
func (l *Log) write(ctx context.Context) {
	storing, stop := context.WithCancel(context.WithoutCancel(ctx)) // a batch that was begun is finished
	defer stop()
	end := context.AfterFunc(ctx, func() { time.AfterFunc(lastTries, stop) })
	defer end()
	if err := l.append(storing, nil); err != nil { // so that a store that is down is known at once
		l.fell(err)
	} else {
		l.rose()
	}
	for {
		batch, lost := l.queue.take(ctx)
		if len(batch) == 0 && lost.count == 0 {
			if ctx.Err() != nil {
				return
			}
			continue
		}
		bodies := make([][]byte, 0, len(batch)+1)
		for _, one := range batch {
			bodies = append(bodies, one.body)
		}
		if lost.count > 0 {
			bodies = append(bodies, l.gap(lost))
		}
		err := l.store(storing, bodies, batch)
		l.queue.written()
		for _, one := range batch {
			one.answer(err)
		}
	}
}

// store appends a batch. With BestEffort it goes on until it can.
func (l *Log) store(ctx context.Context, bodies [][]byte, batch []*waiting) error {
	l.doubt = nil // which was about another batch
	for {
		err := l.append(ctx, bodies)
		if err == nil {
			l.rose()
			return nil
		}
		l.fell(err)
		if l.options.Mode == Required || ctx.Err() != nil {
			return err
		}
		for _, one := range batch { // nobody has to wait for the store to come back
			one.answer(nil)
		}
		select {
		case <-time.After(l.options.Pause):
		case <-ctx.Done():
		}
	}
}

func (l *Log) fell(err error) {
	if !l.down.Swap(true) {
		l.options.Log.Error(err, "the audit log cannot be written", "mode", l.options.Mode, "store", l.db.Place().String())
	}
}

func (l *Log) rose() {
	if l.down.Swap(false) {
		l.options.Log.Info("the audit log can be written again", "store", l.db.Place().String())
	}
	select {
	case l.written <- struct{}{}:
	default:
	}
}

func (l *Log) gap(lost loss) []byte {
	return l.note(record.Gap, "QueueOverflow", fmt.Sprintf(
		"%d entries between %s and %s were lost: the store was down and the queue full",
		lost.count, lost.first.UTC().Format(time.RFC3339), lost.last.UTC().Format(time.RFC3339)))
}

// note makes an entry of the log about itself.
func (l *Log) note(kind record.Kind, reason, message string) []byte {
	body, err := encode(record.Entry{
		At: l.options.Now(), Kind: kind, Reason: reason, Message: message,
		Subject: record.Subject{Kind: "AuditLog", Name: "holdfast"}, Actor: record.Actor{Type: record.Ourselves},
	}, l.options.Now())
	if err != nil {
		l.options.Log.Error(err, "an entry is not recorded", "kind", kind)
	}
	return body
}

// doubt is a batch whose commit failed: it may be in the store or not.
type doubt struct {
	size int64
	root tlog.Hash
}

// append writes records after the last one, in one transaction. It first makes sure that the store
// holds what we know, and what others have added since.
func (l *Log) append(ctx context.Context, bodies [][]byte) error {
	if !l.prepared {
		if err := l.db.Migrate(ctx, component, migrations()...); err != nil {
			return err
		}
		l.prepared = true
	}
	var grown tree
	err := l.db.Write(ctx, func(tx *database.Tx) error {
		if err := tx.Lock(ctx, component); err != nil {
			return err
		}
		now, err := l.catchUp(ctx, tx)
		if err != nil {
			return err
		}
		if grown = now; len(bodies) == 0 {
			return nil
		}
		if l.doubt != nil {
			if there, err := l.doubt.isThere(ctx, tx); there || err != nil {
				return err
			}
		}
		if grown, err = insert(ctx, tx, now, bodies); err != nil {
			return fmt.Errorf("writing to the audit log: %w", err)
		}
		l.doubt = &doubt{grown.size, grown.root()}
		return nil
	})
	if err != nil {
		l.prepared = false // the store that comes back may be another one
		return err
	}
	l.doubt = nil
	l.known.Store(&grown)
	return nil
}

func (d *doubt) isThere(ctx context.Context, tx *database.Tx) (bool, error) {
	root, found, err := rootAt(ctx, tx, d.size)
	return found && root == d.root, err
}

// catchUp returns the tree that the store holds, grown out of the one that we know by the records
// themselves: what was rewritten behind our back is never built upon.
func (l *Log) catchUp(ctx context.Context, tx *database.Tx) (tree, error) {
	stored, err := readHead(ctx, tx)
	if err != nil {
		return tree{}, err
	}
	known, err := l.start(ctx, tx)
	if err != nil {
		return tree{}, err
	}
	if stored.size < known.size {
		return tree{}, fmt.Errorf("the store holds %d records, and there have been %d: was it replaced or set back? Restart to begin after what is there",
			stored.size, known.size)
	}
	if known.size < stored.size {
		err := readRecords(ctx, tx, known.size+1, stored.size, func(r Record) error { return follow(&known, r) })
		if err != nil {
			return tree{}, err
		}
		if known.size < stored.size {
			return tree{}, broken(known.size+1, known.size+1, removed)
		}
	}
	if known.root() != stored.root() {
		return tree{}, broken(1, stored.size, "the head of the log is not that of its records")
	}
	return known, nil
}

// follow grows a tree by a record, which has to be the next one.
func follow(t *tree, r Record) error {
	next := t.size + 1
	t.grow(tlog.RecordHash(r.Body))
	fits := t.root() == r.Root
	switch {
	case fits && r.N == next:
		return nil
	case fits:
		return broken(next, next, "its number was altered")
	case r.N > next:
		return broken(next, next, removed)
	case r.N < next:
		return broken(r.N, r.N, inserted)
	}
	return broken(next, next, altered)
}

// start returns the tree to go on from: what we know, or the one that was signed last.
func (l *Log) start(ctx context.Context, tx *database.Tx) (tree, error) {
	if known := l.known.Load(); known != nil {
		return known.clone(), nil
	}
	last, err := lastCheckpoint(ctx, tx)
	return last.tree.clone(), err
}
