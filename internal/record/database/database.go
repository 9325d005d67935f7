package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// DB is a record store. It is safe for concurrent use.
type DB struct {
	place   Place
	dialect dialect
	// writer has one connection for SQLite, which has one writer at a time; for PostgreSQL it is reader.
	writer, reader *sql.DB
	readOnly       bool
}

// Open makes a DB of a place, whose file is created when it is first needed. Nothing is connected
// yet, so that a store that is down is found out by the first statement.
func Open(place Place) (*DB, error) {
	if place.IsFile() {
		return openSQLite(place, forWriting)
	}
	return openPostgres(place)
}

// OpenToRead makes a DB that refuses to write. The file of a SQLite store has to exist; another process
// may be writing to it.
func OpenToRead(place Place) (*DB, error) {
	open := openPostgres
	if place.IsFile() {
		open = func(place Place) (*DB, error) { return openSQLite(place, forReading) }
	}
	db, err := open(place)
	if err != nil {
		return nil, err
	}
	db.readOnly = true
	return db, nil
}

// Place returns where the store is.
func (d *DB) Place() Place { return d.place }

// Close closes all connections.
func (d *DB) Close() error {
	err := d.reader.Close()
	if d.writer != d.reader {
		err = errors.Join(d.writer.Close(), err)
	}
	if err != nil {
		return fmt.Errorf("closing the record store %s: %w", d.place, err)
	}
	return nil
}

// Write runs do in one transaction, which is durable when Write returns nil, and is undone where do or
// the commit fails. For SQLite, one Write runs at a time and others wait.
func (d *DB) Write(ctx context.Context, do func(tx *Tx) error) error {
	if d.readOnly {
		return fmt.Errorf("writing to the record store %s: it was opened to read", d.place)
	}
	err := d.run(ctx, d.writer, nil, do)
	if err != nil {
		// A connection to what has been replaced or went away is of no use: the next try makes a new one.
		d.writer.SetMaxIdleConns(0)
		d.writer.SetMaxIdleConns(d.dialect.idle)
	}
	return err
}

// Read runs do in one transaction that sees the store at one moment. It must not write.
func (d *DB) Read(ctx context.Context, do func(tx *Tx) error) error {
	return d.run(ctx, d.reader, &sql.TxOptions{ReadOnly: true, Isolation: d.dialect.snapshot}, do)
}

func (d *DB) run(ctx context.Context, pool *sql.DB, options *sql.TxOptions, do func(tx *Tx) error) error {
	tx, err := pool.BeginTx(ctx, options)
	if err != nil {
		return fmt.Errorf("using the record store %s: %w", d.place, err)
	}
	if err := do(&Tx{tx: tx, dialect: d.dialect}); err != nil {
		_ = tx.Rollback()
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("writing to the record store %s: %w", d.place, err)
	}
	return nil
}

// Tx is a transaction. It is not safe for concurrent use.
type Tx struct {
	tx      *sql.Tx
	dialect dialect
}

// Exec runs a statement.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.tx.ExecContext(ctx, t.dialect.bind(query), args...)
}

// Query runs a query. The caller closes the rows before the next statement.
func (t *Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(ctx, t.dialect.bind(query), args...)
}

// QueryRow runs a query of one row, whose error comes with its Scan.
func (t *Tx) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(ctx, t.dialect.bind(query), args...)
}

// Lock makes other processes that lock the same name wait until the transaction ends.
func (t *Tx) Lock(ctx context.Context, name string) error {
	if t.dialect.lock == "" {
		return nil // whoever writes to SQLite is alone already
	}
	_, err := t.Exec(ctx, t.dialect.lock, "holdfast/"+name)
	return err
}
