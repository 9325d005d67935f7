// Package databasetest gives tests a record store of each kind: a SQLite file in a temporary folder,
// and a database of its own in the PostgreSQL server that the environment names.
//
// In: a test. Out: the place of an empty store, which is gone after the test. Only tests import it.
package databasetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver that makes and drops databases

	"holdfast.dev/holdfast/internal/record/database"
)

// Variable names the environment variable with the URL of a PostgreSQL server whose user may create
// databases.
const Variable = "HOLDFAST_TEST_POSTGRES"

// Each runs a test for each kind of store. Where there is no PostgreSQL server its part is skipped.
func Each(t *testing.T, test func(t *testing.T, place database.Place)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite returns the place of a file that does not exist yet.
func SQLite(t testing.TB) database.Place {
	t.Helper()
	return database.File(filepath.Join(t.TempDir(), "record.db"))
}

// Postgres returns the place of a new database, or skips the test where there is no server.
func Postgres(t testing.TB) database.Place {
	t.Helper()
	server := os.Getenv(Variable)
	if server == "" {
		t.Skipf("no PostgreSQL server: %s is not set", Variable)
	}
	name := "holdfast_" + strings.ToLower(rand.Text())
	run(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { run(t, server, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	place, err := database.ParsePlace(address(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return place
}

// address is the URL of a database in the server.
func address(t testing.TB, name string) string {
	t.Helper()
	server, err := url.Parse(os.Getenv(Variable))
	if err != nil {
		t.Fatalf("%s is malformed", Variable)
	}
	server.Path = "/" + name
	return server.String()
}

// Address returns the whole text of a place that Postgres has made, for another process.
func Address(t testing.TB, place database.Place) string {
	t.Helper()
	return address(t, path.Base(place.String()))
}

func run(t testing.TB, server, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(context.Background(), statement); err != nil {
		t.Fatalf("%s: %s", statement, err)
	}
}
