package alert

import (
	"context"
	"sync"

	"holdfast.dev/holdfast/internal/record/database"
)

// stored is a Ledger in the record store.
type stored struct {
	db    *database.DB
	scope string

	lock  sync.Mutex
	ready bool
}

// Stored is a Ledger in the record store. Daemons that share a store and serve different things each
// have a scope of their own.
func Stored(db *database.DB, scope string) Ledger { return &stored{db: db, scope: scope} }

// prepare makes the table. It is tried again until the store is there.
func (s *stored) prepare(ctx context.Context) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.ready {
		return nil
	}
	err := s.db.Migrate(ctx, "alert", database.Migration{
		"CREATE TABLE alert_ledger (scope TEXT NOT NULL, name TEXT NOT NULL, value {bytes} NOT NULL, PRIMARY KEY (scope, name))",
	})
	s.ready = err == nil
	return err
}

// Load implements Ledger.
func (s *stored) Load(ctx context.Context) (map[string][]byte, error) {
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	kept := map[string][]byte{}
	err := s.db.Read(ctx, func(tx *database.Tx) error {
		rows, err := tx.Query(ctx, "SELECT name, value FROM alert_ledger WHERE scope = ?", s.scope)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			var value []byte
			if err := rows.Scan(&name, &value); err != nil {
				return err
			}
			kept[name] = value
		}
		return rows.Err()
	})
	return kept, err
}

// Save implements Ledger.
func (s *stored) Save(ctx context.Context, changes map[string][]byte) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *database.Tx) error {
		for name, value := range changes {
			statement, args := "DELETE FROM alert_ledger WHERE scope = ? AND name = ?", []any{s.scope, name}
			if value != nil {
				statement, args = "INSERT INTO alert_ledger (scope, name, value) VALUES (?, ?, ?) ON CONFLICT (scope, name) DO UPDATE SET value = excluded.value", append(args, value)
			}
			if _, err := tx.Exec(ctx, statement, args...); err != nil {
				return err
			}
		}
		return nil
	})
}
