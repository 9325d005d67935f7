package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
)

// purpose is what a SQLite file is opened for.
type purpose bool

const (
	forReading purpose = false
	forWriting purpose = true
)

// readers is how many connections read a SQLite file at once.
const readers = 4

func sqliteDialect() dialect {
	return dialect{
		types: strings.NewReplacer("{bytes}", "BLOB", "{identity}", "INTEGER PRIMARY KEY AUTOINCREMENT"),
		idle:  1, arguments: 32766,
	}
}

func openSQLite(place Place, what purpose) (*DB, error) {
	settings := url.Values{"mode": {"rw"}, "_busy_timeout": {"10000"}, "_foreign_keys": {"on"}, "_query_only": {"on"}}
	toRead, err := place.uri(settings)
	if err != nil {
		return nil, err
	}
	settings.Del("_query_only")
	settings.Set("_journal_mode", "WAL")
	settings.Set("_synchronous", "FULL") // a transaction is on the disk when its commit returns
	settings.Set("_txlock", "immediate") // whoever will write waits at the start, where waiting is possible
	settings.Set("_pragma", "journal_size_limit(67108864)")
	toWrite, err := place.uri(settings)
	if err != nil {
		return nil, err
	}
	db := &DB{place: place, dialect: sqliteDialect(), reader: sql.OpenDB(sqliteFile{place: place, name: toRead, purpose: what})}
	db.writer = db.reader
	if what == forWriting {
		db.writer = sql.OpenDB(sqliteFile{place: place, name: toWrite, purpose: what})
		db.writer.SetMaxOpenConns(1)
	}
	db.reader.SetMaxOpenConns(readers)
	return db, nil
}

// sqliteFile connects to a SQLite file. It makes the file when there is none, also when it vanished
// after the start: only its owner may read it.
type sqliteFile struct {
	place   Place
	name    string
	purpose purpose
}

// Connect implements driver.Connector.
func (f sqliteFile) Connect(context.Context) (driver.Conn, error) {
	if f.purpose == forWriting {
		if err := create(f.place.file); err != nil {
			return nil, err
		}
	} else if _, err := os.Stat(f.place.file); err != nil {
		return nil, err
	}
	connection, err := f.Driver().Open(f.name)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", f.place, err)
	}
	return connection, nil
}

// Driver implements driver.Connector.
func (f sqliteFile) Driver() driver.Driver { return new(sqlite.Driver) }

func create(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("it is a folder; a store is a file")}
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the store is where its operator says
	if err != nil {
		return err
	}
	return file.Close()
}
