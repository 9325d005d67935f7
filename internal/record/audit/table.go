package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast.dev/holdfast/internal/record/database"
)

// component names our tables in the store.
const component = "audit"

func migrations() []database.Migration {
	return []database.Migration{{
		`CREATE TABLE audit_entry (n BIGINT PRIMARY KEY, at BIGINT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
			actor TEXT NOT NULL, body {bytes} NOT NULL, root {bytes} NOT NULL)`,
		`CREATE INDEX audit_entry_subject ON audit_entry (subject, n)`,
		`CREATE INDEX audit_entry_at ON audit_entry (at)`,
		`CREATE TABLE audit_tile (tile BIGINT PRIMARY KEY, hashes {bytes} NOT NULL)`,
		`CREATE TABLE audit_head (id BIGINT PRIMARY KEY, size BIGINT NOT NULL, edge {bytes} NOT NULL,
			dropped BIGINT NOT NULL, base {bytes} NOT NULL)`,
		`CREATE TABLE audit_checkpoint (size BIGINT PRIMARY KEY, at BIGINT NOT NULL, note TEXT NOT NULL, edge {bytes} NOT NULL)`,
		`CREATE TABLE audit_key (verifier TEXT PRIMARY KEY, since BIGINT NOT NULL)`,
	}}
}

// head is what the store says of the log as a whole.
type head struct {
	tree
	base tree // of the records whose bodies retention has dropped, from the first on
}

// readHead returns the head, which is empty where the log has not begun.
func readHead(ctx context.Context, tx *database.Tx) (head, error) {
	var (
		size, dropped int64
		edge, base    []byte
	)
	err := tx.QueryRow(ctx, "SELECT size, edge, dropped, base FROM audit_head WHERE id = 1").Scan(&size, &edge, &dropped, &base)
	if errors.Is(err, sql.ErrNoRows) {
		return head{}, nil
	}
	if err != nil {
		return head{}, fmt.Errorf("reading the head of the audit log: %w", err)
	}
	var h head
	if h.tree, err = treeOf(size, edge); err == nil {
		h.base, err = treeOf(dropped, base)
	}
	if err != nil {
		return head{}, broken(1, size, "the head of the log is malformed")
	}
	return h, nil
}

func writeHead(ctx context.Context, tx *database.Tx, t tree) error {
	_, err := tx.Exec(ctx, `INSERT INTO audit_head (id, size, edge, dropped, base) VALUES (1, ?, ?, 0, ?)
		ON CONFLICT (id) DO UPDATE SET size = excluded.size, edge = excluded.edge`, t.size, t.bytes(), []byte{})
	return err
}

// rootAt returns the root of the tree that ends in a record, as the store has it, and false where the
// record is not there.
func rootAt(ctx context.Context, tx *database.Tx, n int64) (tlog.Hash, bool, error) {
	var stored []byte
	err := tx.QueryRow(ctx, "SELECT root FROM audit_entry WHERE n = ?", n).Scan(&stored)
	if errors.Is(err, sql.ErrNoRows) {
		return tlog.Hash{}, false, nil
	}
	if err != nil || len(stored) != tlog.HashSize {
		return tlog.Hash{}, false, errors.Join(err, broken(n, n, "its root is malformed"))
	}
	return tlog.Hash(stored), true, nil
}

// insert adds records after a tree and returns the tree after them.
func insert(ctx context.Context, tx *database.Tx, after tree, bodies [][]byte) (tree, error) {
	grown, rows := after.clone(), make([][]any, len(bodies))
	for i, body := range bodies {
		entry, err := decode(body) // as a reader will see it
		if err != nil {
			return tree{}, err
		}
		grown.grow(tlog.RecordHash(body))
		root, by := grown.root(), columnsOf(entry)
		rows[i] = []any{grown.size, by.at, by.kind, by.subject, by.actor, body, root[:]}
	}
	err := tx.Insert(ctx, "audit_entry", []string{"n", "at", "kind", "subject", "actor", "body", "root"}, rows)
	if err != nil {
		return tree{}, err
	}
	return grown, writeHead(ctx, tx, grown)
}

// signed is a checkpoint as the store keeps it, with the edge to go on from.
type signed struct {
	Checkpoint
	note string
	tree tree
}

// lastCheckpoint returns the newest checkpoint, which is empty where there is none.
func lastCheckpoint(ctx context.Context, tx *database.Tx) (signed, error) {
	var (
		last signed
		size int64
		edge []byte
	)
	err := tx.QueryRow(ctx, "SELECT size, note, edge FROM audit_checkpoint ORDER BY size DESC LIMIT 1").Scan(&size, &last.note, &edge)
	if errors.Is(err, sql.ErrNoRows) {
		return signed{}, nil
	}
	if err != nil {
		return signed{}, fmt.Errorf("reading the last checkpoint: %w", err)
	}
	if last.Checkpoint, err = claimed(last.note); err != nil || last.Size != size {
		return signed{}, broken(size, size, "the checkpoint that was signed here is malformed")
	}
	if last.tree, err = treeOf(size, edge); err != nil || last.tree.root() != last.Root {
		return signed{}, broken(size, size, "the checkpoint that was signed here does not belong to its tree")
	}
	return last, nil
}

func writeCheckpoint(ctx context.Context, tx *database.Tx, c signed) error {
	_, err := tx.Exec(ctx, "INSERT INTO audit_checkpoint (size, at, note, edge) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
		c.Size, c.At.UnixNano(), c.note, c.tree.bytes())
	return err
}

// storedKeys returns the verifier keys that signed, the oldest first.
func storedKeys(ctx context.Context, tx *database.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, "SELECT verifier FROM audit_key ORDER BY since, verifier")
	if err != nil {
		return nil, fmt.Errorf("reading the keys of the audit log: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var keys []string
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, fmt.Errorf("reading the keys of the audit log: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

func writeKey(ctx context.Context, tx *database.Tx, verifier string, now time.Time) error {
	_, err := tx.Exec(ctx, "INSERT INTO audit_key (verifier, since) VALUES (?, ?) ON CONFLICT DO NOTHING", verifier, now.UnixNano())
	return err
}
