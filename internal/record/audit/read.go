package audit

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/database"
)

// Filter chooses records. Empty fields choose all.
type Filter struct {
	// Subject is "Kind/namespace/name", or the end of it from a slash on: "apps", "flux-system/apps".
	Subject      string
	Kinds        []record.Kind
	Actor        string
	Since, Until time.Time // Until itself is not part of it
	From, To     int64     // the least and the greatest number
	Limit        int       // the last ones of those that are chosen; 0 is all
}

// List returns the records that a filter chooses, in order.
func List(ctx context.Context, db *database.DB, filter Filter) ([]Record, error) {
	where, args := filter.where()
	query := "SELECT n, body, root, at, kind, subject, actor FROM audit_entry" + where + " ORDER BY n DESC"
	if filter.Limit > 0 {
		query += " LIMIT ?"
		args = append(args, filter.Limit)
	}
	var found []Record
	err := db.Read(ctx, func(tx *database.Tx) error {
		rows, err := tx.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		return scan(rows, func(r Record) error {
			if r.Entry, err = decode(r.Body); err != nil {
				return fmt.Errorf("record %d: %w", r.N, err)
			}
			found = append(found, r)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the audit log in %s: %w", db.Place(), err)
	}
	for i, j := 0, len(found)-1; i < j; i, j = i+1, j-1 {
		found[i], found[j] = found[j], found[i]
	}
	return found, nil
}

func (f Filter) where() (string, []any) {
	var (
		terms []string
		args  []any
	)
	add := func(term string, values ...any) {
		terms = append(terms, term)
		args = append(args, values...)
	}
	if f.From > 0 {
		add("n >= ?", f.From)
	}
	if f.To > 0 {
		add("n <= ?", f.To)
	}
	if f.Subject != "" {
		like := strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(f.Subject)
		add(`(subject = ? OR subject LIKE ? ESCAPE '\')`, f.Subject, "%/"+like)
	}
	if len(f.Kinds) > 0 {
		marks := strings.Repeat("?, ", len(f.Kinds)-1) + "?"
		values := make([]any, len(f.Kinds))
		for i, kind := range f.Kinds {
			values[i] = string(kind)
		}
		add("kind IN ("+marks+")", values...)
	}
	if f.Actor != "" {
		add("actor = ?", f.Actor)
	}
	if !f.Since.IsZero() {
		add("at >= ?", f.Since.UnixNano())
	}
	if !f.Until.IsZero() {
		add("at < ?", f.Until.UnixNano())
	}
	if len(terms) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(terms, " AND "), args
}

// readRecords gives the records of a range to take, in order, without decoding their entries.
func readRecords(ctx context.Context, tx *database.Tx, from, to int64, take func(Record) error) error {
	rows, err := tx.Query(ctx, "SELECT n, body, root, at, kind, subject, actor FROM audit_entry WHERE n >= ? AND n <= ? ORDER BY n", from, to)
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	return scan(rows, take)
}

// scan gives the records of a query to take, and closes it.
func scan(rows *sql.Rows, take func(Record) error) error {
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var (
			r    Record
			root []byte
		)
		if err := rows.Scan(&r.N, &r.Body, &root, &r.found.at, &r.found.kind, &r.found.subject, &r.found.actor); err != nil {
			return err
		}
		if len(root) != tlog.HashSize {
			return broken(r.N, r.N, "its root is malformed")
		}
		r.Root = tlog.Hash(root)
		if err := take(r); err != nil {
			return err
		}
	}
	return rows.Err()
}
