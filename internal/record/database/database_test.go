package database_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/record/database"
	"holdfast.dev/holdfast/internal/record/database/databasetest"
)

func notes() []database.Migration {
	return []database.Migration{
		{`CREATE TABLE note (id {identity}, text TEXT NOT NULL)`},
		{`ALTER TABLE note ADD COLUMN body {bytes}`, `CREATE INDEX note_text ON note (text)`},
	}
}

func open(t *testing.T, place database.Place) *database.DB {
	t.Helper()
	db, err := database.Open(place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func migrate(t *testing.T, db *database.DB, steps ...database.Migration) {
	t.Helper()
	if err := db.Migrate(t.Context(), "note", steps...); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, db *database.DB) int {
	t.Helper()
	found := 0
	err := db.Read(t.Context(), func(tx *database.Tx) error {
		return tx.QueryRow(t.Context(), "SELECT count(*) FROM note").Scan(&found)
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestPlaces(t *testing.T) {
	cases := map[string]struct {
		why, text, want string
		file            bool
		fails           bool
	}{
		"File":     {why: "a path is a file", text: "/var/lib/holdfast/record.db", want: "/var/lib/holdfast/record.db", file: true},
		"Windows":  {why: "a drive is no scheme", text: `C:\holdfast\record.db`, want: `C:\holdfast\record.db`, file: true},
		"Server":   {why: "passwords and settings are not shown", text: "postgres://holdfast:canary@db:5432/holdfast?sslpassword=canary", want: "postgres://holdfast@db:5432/holdfast"},
		"LongName": {why: "the scheme has two names", text: "postgresql://db/holdfast", want: "postgresql://db/holdfast"},
		"Empty":    {why: "nowhere is no place to keep anything", text: "", fails: true},
		"Scheme":   {why: "other databases are not known", text: "mysql://holdfast:canary@db/holdfast", fails: true},
		"Broken":   {why: "an error must not repeat a password", text: "postgres://holdfast:canary%@db/holdfast", fails: true},
		"Setting":  {why: "nor must one of the driver", text: "postgres://holdfast:canary@db/holdfast?sslmode=canary", want: "postgres://holdfast@db/holdfast"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			place, err := database.ParsePlace(c.text)
			if err != nil != c.fails {
				t.Fatalf("%s: the error is %v", c.why, err)
			}
			if place.String() != c.want || place.IsFile() != c.file {
				t.Errorf("%s: got %q (a file: %t), want %q", c.why, place, place.IsFile(), c.want)
			}
			encoded, _ := json.Marshal(place) //nolint:staticcheck // that nothing of it comes out is what is tested
			shown := fmt.Sprintf("%v %+v %#v %s %v", place, place, place, encoded, err)
			if c.want != "" {
				_, err = database.Open(place)
				shown += fmt.Sprint(err)
			}
			if strings.Contains(shown, "canary") {
				t.Errorf("%s: %s", c.why, shown)
			}
		})
	}
}

func TestMigrations(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, place database.Place) {
		migrate(t, open(t, place), notes()[:1]...)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() { // as several replicas do when they start
				if err := open(t, place).Migrate(t.Context(), "note", notes()...); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		db := open(t, place)
		if err := db.Migrate(t.Context(), "other", database.Migration{"CREATE TABLE other (id {identity})"}); err != nil {
			t.Errorf("components do not know each other: %s", err)
		}
		var newer *database.NewerError
		if err := db.Migrate(t.Context(), "note", notes()[0]); !errors.As(err, &newer) {
			t.Errorf("tables of a newer program are left alone, but the error is %v", err)
		}
		err := db.Migrate(t.Context(), "third", database.Migration{"CREATE TABLE third (id {identity})", "nonsense"})
		if err == nil {
			t.Error("a step that fails is an error")
		}
		if err := db.Migrate(t.Context(), "third", database.Migration{"CREATE TABLE third (id {identity})"}); err != nil {
			t.Errorf("a step that failed left nothing behind: %s", err)
		}
	})
}

func TestTransactions(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, place database.Place) {
		db := open(t, place)
		migrate(t, db, notes()...)
		undone := errors.New("undone")
		err := db.Write(t.Context(), func(tx *database.Tx) error {
			if err := tx.Insert(t.Context(), "note", []string{"text"}, [][]any{{"one"}}); err != nil {
				return err
			}
			return undone
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		var rows [][]any
		for i := range 1397 {
			rows = append(rows, []any{fmt.Sprint(i), []byte{0, byte(i), 0xff}})
		}
		err = db.Write(t.Context(), func(tx *database.Tx) error {
			return tx.Insert(t.Context(), "note", []string{"text", "body"}, rows)
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := count(t, db); got != len(rows) {
			t.Errorf("%d rows are there, want %d", got, len(rows))
		}
		var body []byte
		err = db.Read(t.Context(), func(tx *database.Tx) error {
			return tx.QueryRow(t.Context(), "SELECT body FROM note WHERE text = ? AND text <> '?'", "7").Scan(&body)
		})
		if diff := cmp.Diff([]byte{0, 7, 0xff}, body); err != nil || diff != "" {
			t.Errorf("bytes come back as they were (-want +got):\n%s%v", diff, err)
		}
	})
}

// TestManyWriters: writers wait for each other instead of failing, and readers for nobody.
func TestManyWriters(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, place database.Place) {
		first, second := open(t, place), open(t, place)
		migrate(t, first, notes()...)
		var group sync.WaitGroup
		for i := range 8 {
			db := []*database.DB{first, second}[i%2]
			group.Go(func() {
				for range 10 {
					err := db.Write(t.Context(), func(tx *database.Tx) error {
						_, err := tx.Exec(t.Context(), "INSERT INTO note (text) VALUES (?)", "x")
						return err
					})
					if err != nil {
						t.Error(err)
					}
					count(t, db)
				}
			})
		}
		group.Wait()
		if got := count(t, first); got != 80 {
			t.Errorf("80 rows were written, and %d are there", got)
		}
	})
}

func TestReadersDoNotWrite(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, place database.Place) {
		if place.IsFile() {
			db, err := database.OpenToRead(place)
			if err != nil {
				t.Fatal(err)
			}
			err = db.Read(t.Context(), func(*database.Tx) error { return nil })
			if !errors.Is(err, os.ErrNotExist) {
				t.Errorf("reading makes no store: %v", err)
			}
			_ = db.Close()
		}
		migrate(t, open(t, place), notes()...)
		db, err := database.OpenToRead(place)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		count(t, db)
		if err := db.Migrate(t.Context(), "more", database.Migration{"CREATE TABLE more (id {identity})"}); err == nil {
			t.Error("a DB that was opened to read has written")
		}
		err = db.Read(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO note (text) VALUES ('x')")
			return err
		})
		if err == nil {
			t.Error("a transaction that reads has written")
		}
	})
}

// TestStoreComesBack: a store that is down fails what needs it, and works again without a restart.
func TestStoreComesBack(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "state", "record.db")
	if err := os.MkdirAll(file, 0o700); err != nil { // a folder stands in the file's place
		t.Fatal(err)
	}
	db := open(t, database.File(file))
	if err := db.Migrate(t.Context(), "note", notes()...); err == nil {
		t.Fatal("a folder is no store")
	}
	if err := os.RemoveAll(filepath.Dir(file)); err != nil {
		t.Fatal(err)
	}
	migrate(t, db, notes()...)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the store is for its owner only: %v %v", info.Mode(), err)
	}
	header, err := os.ReadFile(file)
	if err != nil || !bytes.HasPrefix(header, []byte("SQLite format 3")) {
		t.Errorf("the file holds %q (%v)", header[:16], err)
	}
}

func TestWaitsEnd(t *testing.T) {
	db := open(t, databasetest.SQLite(t))
	migrate(t, db, notes()...)
	err := db.Write(t.Context(), func(*database.Tx) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return db.Write(ctx, func(*database.Tx) error { return nil })
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("whoever waits for a turn can give up: %v", err)
	}
}
