package audit

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/database"
)

const (
	// tileRecords is how many hashes stand together when their records are dropped.
	tileRecords = 256
	// tilesAtOnce is how many are made in one transaction, so that writers do not wait for long.
	tilesAtOnce = 16
	// retainEvery is how often old records are looked for.
	retainEvery = time.Hour
	// thinAfter is the age from which on one checkpoint an hour is enough.
	thinAfter = 24 * time.Hour
)

// retainNowAndThen drops what is older than the settings say.
func (l *Log) retainNowAndThen(ctx context.Context) {
	wait := l.options.Pause
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if wait = retainEvery; l.known.Load() == nil {
			wait = l.options.Pause // the store has not been reached yet
			continue
		}
		if err := l.Retain(ctx); err != nil && ctx.Err() == nil {
			l.options.Log.Error(err, "dropping old records of the audit log")
		}
	}
}

// Retain drops the bodies of records that are too old or too many, and keeps their hashes. Only what a
// checkpoint vouches for is dropped, and the log says in a record of its own what was.
func (l *Log) Retain(ctx context.Context) error {
	if err := l.db.Write(ctx, func(tx *database.Tx) error { return l.thin(ctx, tx) }); err != nil {
		return fmt.Errorf("thinning checkpoints: %w", err)
	}
	if l.options.Age <= 0 && l.options.Count <= 0 {
		return nil
	}
	first, end := int64(-1), int64(0)
	for {
		from, to, err := l.drop(ctx)
		if err != nil {
			return fmt.Errorf("dropping old records: %w", err)
		}
		if from == to {
			break
		}
		if first < 0 {
			first = from
		}
		end = to
	}
	if first < 0 {
		return nil
	}
	body := l.note(record.Sealed, "Retention", fmt.Sprintf("the records %d to %d were dropped, as the retention says; their hashes are kept", first+1, end))
	l.queue.add(&waiting{body: body, done: make(chan error, 1)}, l.options.Now())
	return nil
}

// thin keeps the last checkpoint of each hour of those that are old.
func (l *Log) thin(ctx context.Context, tx *database.Tx) error {
	before := l.options.Now().Add(-thinAfter).UnixNano()
	_, err := tx.Exec(ctx, fmt.Sprintf(`DELETE FROM audit_checkpoint WHERE at < ? AND EXISTS (SELECT 1 FROM audit_checkpoint AS later
		WHERE later.size > audit_checkpoint.size AND later.at < ? AND later.at / %[1]d = audit_checkpoint.at / %[1]d)`, int64(time.Hour)), before, before)
	return err
}

// drop drops some tiles and returns their range: the records after the first number, up to the second.
func (l *Log) drop(ctx context.Context) (from, to int64, err error) {
	err = l.db.Write(ctx, func(tx *database.Tx) error {
		if err := tx.Lock(ctx, component); err != nil {
			return err
		}
		now, err := readHead(ctx, tx)
		if err != nil {
			return err
		}
		until, err := l.dropUntil(ctx, tx, now)
		if err != nil {
			return err
		}
		from, to = now.base.size, now.base.size
		until = min(until, from+tilesAtOnce*tileRecords)
		if until = until / tileRecords * tileRecords; until <= from {
			return nil
		}
		if err := pack(ctx, tx, &now.base, until); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM audit_entry WHERE n <= ?", until); err != nil {
			return err
		}
		to = until
		_, err = tx.Exec(ctx, "UPDATE audit_head SET dropped = ?, base = ? WHERE id = 1", until, now.base.bytes())
		return err
	})
	return from, to, err
}

// dropUntil returns how many records from the first on may go.
func (l *Log) dropUntil(ctx context.Context, tx *database.Tx, now head) (int64, error) {
	vouched, err := lastCheckpoint(ctx, tx)
	if err != nil {
		return 0, err
	}
	until := int64(0)
	if l.options.Count > 0 {
		until = now.size - l.options.Count
	}
	if l.options.Age > 0 {
		// The first record that is young enough stays, and all after it.
		young := sql.NullInt64{}
		err := tx.QueryRow(ctx, "SELECT min(n) FROM audit_entry WHERE at >= ?", l.options.Now().Add(-l.options.Age).UnixNano()).Scan(&young)
		if err != nil {
			return 0, err
		}
		old := now.size
		if young.Valid {
			old = young.Int64 - 1
		}
		until = max(until, old)
	}
	return min(until, vouched.Size), nil
}

// pack keeps the hashes of the records after a tree, up to a number, as tiles, and grows the tree. What is
// not what was written is not packed: its hash would look as if it were.
func pack(ctx context.Context, tx *database.Tx, base *tree, until int64) error {
	first, hashes := base.size/tileRecords, make([]byte, 0, (until-base.size)*tlog.HashSize)
	err := readRecords(ctx, tx, base.size+1, until, func(r Record) error {
		hash := tlog.RecordHash(r.Body)
		hashes = append(hashes, hash[:]...)
		return follow(base, r)
	})
	if err != nil {
		return err
	}
	if base.size != until {
		return broken(base.size+1, base.size+1, removed)
	}
	const size = tileRecords * tlog.HashSize
	var rows [][]any
	for tile := first; len(hashes) > 0; tile++ {
		rows = append(rows, []any{tile, hashes[:size:size]})
		hashes = hashes[size:]
	}
	return tx.Insert(ctx, "audit_tile", []string{"tile", "hashes"}, rows)
}
