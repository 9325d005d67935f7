package database

import (
	"context"
	"fmt"
)

// Migration is one step of a component's tables, from one version to the next: statements, in the
// words that both databases know. A step that has been released never changes; new ones follow it.
type Migration []string

// NewerError says that a store was written by a newer program, which this one must not touch.
type NewerError struct {
	Component   string
	Found, Know int
}

// Error implements error.
func (e *NewerError) Error() string {
	return fmt.Sprintf("the tables of %s have version %d, and this program knows them up to %d: use a newer one", e.Component, e.Found, e.Know)
}

const versions = `CREATE TABLE IF NOT EXISTS holdfast_schema (component TEXT PRIMARY KEY, version BIGINT NOT NULL)`

// Migrate brings the tables of a component to the version after the last step. Several processes may
// do so at once.
func (d *DB) Migrate(ctx context.Context, component string, steps ...Migration) error {
	err := d.Write(ctx, func(tx *Tx) error {
		if err := tx.Lock(ctx, "schema"); err != nil {
			return err
		}
		version, err := prepare(ctx, tx, component)
		if err != nil {
			return err
		}
		if version > len(steps) {
			return &NewerError{Component: component, Found: version, Know: len(steps)}
		}
		for _, step := range steps[version:] {
			for _, statement := range step {
				if _, err := tx.Exec(ctx, d.dialect.types.Replace(statement)); err != nil {
					return err
				}
			}
		}
		if version == len(steps) {
			return nil
		}
		_, err = tx.Exec(ctx, "UPDATE holdfast_schema SET version = ? WHERE component = ?", len(steps), component)
		return err
	})
	if err != nil {
		return fmt.Errorf("preparing the tables of %s in %s: %w", component, d.place, err)
	}
	return nil
}

// prepare returns the version of a component's tables, 0 where there are none.
func prepare(ctx context.Context, tx *Tx, component string) (int, error) {
	if _, err := tx.Exec(ctx, versions); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, "INSERT INTO holdfast_schema (component, version) VALUES (?, 0) ON CONFLICT DO NOTHING", component); err != nil {
		return 0, err
	}
	version := 0
	err := tx.QueryRow(ctx, "SELECT version FROM holdfast_schema WHERE component = ?", component).Scan(&version)
	return version, err
}
