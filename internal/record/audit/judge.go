package audit

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"holdfast.dev/holdfast/internal/record/database"
)

// Trust is what a verification relies on besides the log itself.
type Trust struct {
	// Verifiers are keys that are believed. Empty means those that the log names itself, which only
	// helps against people who did not think of replacing them.
	Verifiers []string
	// Notes are checkpoints from elsewhere.
	Notes []string
}

// keys returns whom to believe. The keys that a log names itself vouch for its own checkpoints only,
// if others are known.
func (t Trust) keys(own []string) (note.Verifiers, error) {
	if len(t.Verifiers) > 0 {
		return Keys(unique(t.Verifiers)...)
	}
	return Keys(unique(own)...)
}

// Verify judges the whole log in a store, as it is at one moment.
func Verify(ctx context.Context, db *database.DB, trust Trust) (Report, error) {
	var report Report
	err := db.Read(ctx, func(tx *database.Tx) error {
		own, notes, err := vouchers(ctx, tx)
		if err != nil {
			return err
		}
		keys, err := trust.keys(own)
		if err != nil {
			return err
		}
		verifier, err := NewVerifier(keys, append(notes, trust.Notes...))
		if err == nil {
			err = verifier.ownKeys(trust)
		}
		if err != nil {
			return err
		}
		if err := feed(ctx, tx, verifier.Tile, func(r Record) error { return checked(verifier, r) }); err != nil {
			return err
		}
		stored, err := readHead(ctx, tx)
		if err != nil {
			return err
		}
		report, err = verifier.End(stored.size)
		if err == nil && (stored.root() != verifier.tree.root() || stored.base.size != report.Dropped) {
			return broken(1, stored.size, "the head of the log is not that of its records")
		}
		return err
	})
	if err != nil {
		return report, fmt.Errorf("verifying the audit log in %s: %w", db.Place(), err)
	}
	return report, nil
}

// checked judges a record together with the columns by which it is found.
func checked(verifier *Verifier, r Record) error {
	if err := verifier.Record(r); err != nil {
		return err
	}
	entry, err := decode(r.Body)
	if err != nil {
		return broken(r.N, r.N, err.Error())
	}
	if columnsOf(entry) != r.found {
		return broken(r.N, r.N, "the columns by which it is found were altered")
	}
	return nil
}

// vouchers returns the keys and the checkpoints of a store.
func vouchers(ctx context.Context, tx *database.Tx) (keys, notes []string, err error) {
	if keys, err = storedKeys(ctx, tx); err != nil {
		return nil, nil, err
	}
	rows, err := tx.Query(ctx, "SELECT size, at, note FROM audit_checkpoint ORDER BY size")
	if err != nil {
		return nil, nil, fmt.Errorf("reading the checkpoints: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var (
			size, at int64
			text     string
		)
		if err := rows.Scan(&size, &at, &text); err != nil {
			return nil, nil, fmt.Errorf("reading the checkpoints: %w", err)
		}
		if said, err := claimed(text); err != nil || said.Size != size || said.At.UnixNano() != at {
			return nil, nil, broken(size, size, "the checkpoint that was signed here was altered")
		}
		notes = append(notes, text)
	}
	return keys, notes, rows.Err()
}

// feed gives the parts of a log, in order.
func feed(ctx context.Context, tx *database.Tx, takeTile func(tile int64, hashes []byte) error, takeRecord func(Record) error) error {
	tiles, err := tx.Query(ctx, "SELECT tile, hashes FROM audit_tile ORDER BY tile")
	if err != nil {
		return fmt.Errorf("reading the hashes of dropped records: %w", err)
	}
	defer func() { _ = tiles.Close() }()
	for tiles.Next() {
		var (
			tile   int64
			hashes []byte
		)
		if err := tiles.Scan(&tile, &hashes); err != nil {
			return fmt.Errorf("reading the hashes of dropped records: %w", err)
		}
		if err := takeTile(tile, hashes); err != nil {
			return err
		}
	}
	if err := tiles.Err(); err != nil {
		return err
	}
	_ = tiles.Close()
	rows, err := tx.Query(ctx, "SELECT n, body, root, at, kind, subject, actor FROM audit_entry ORDER BY n")
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	return scan(rows, takeRecord)
}
