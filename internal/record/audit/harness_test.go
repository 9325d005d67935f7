package audit_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/database"
)

// running is a log that runs until the test ends or stop is called.
type running struct {
	*audit.Log
	db   *database.DB
	key  audit.SigningKey
	stop func()
}

func newKey(t testing.TB) audit.SigningKey {
	t.Helper()
	key, err := audit.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func keyed(key audit.SigningKey) audit.KeySource {
	return audit.KeyFunc(func(context.Context) (audit.SigningKey, error) { return key, nil })
}

// run starts a log with short pauses.
func run(t testing.TB, place database.Place, options audit.Options) running {
	t.Helper()
	db := open(t, place)
	r := running{db: db, key: newKey(t)}
	if options.Key == nil {
		options.Key = keyed(r.key)
	}
	options.Pause, options.CheckpointEvery, options.AnchorEvery = 10*time.Millisecond, time.Millisecond, time.Millisecond
	r.Log = audit.New(db, options)
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	r.stop = sync.OnceFunc(func() { cancel(); group.Wait() })
	t.Cleanup(r.stop)
	return r
}

func redactText(text string) redact.Text { return redact.Text(text) }

func open(t testing.TB, place database.Place) *database.DB {
	t.Helper()
	db, err := database.Open(place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// entry is the i-th of a test's entries.
func entry(i int) record.Entry {
	kinds := []record.Kind{record.RevisionSeen, record.ReleaseBegun, record.ReleaseGood}
	return record.Entry{
		At: time.Date(2026, 9, 1, 12, 0, i, 0, time.UTC), Kind: kinds[i%len(kinds)],
		Subject: record.Subject{Kind: "Kustomization", Namespace: "flux-system", Name: []string{"apps", "infrastructure"}[i%2]},
		Actor:   record.Actor{Type: record.Author, Name: fmt.Sprintf("Person %d <p@example.com>", i%3)},
		Message: fmt.Sprintf("message %d", i), Release: int64(i),
	}
}

func (r running) fill(t testing.TB, from, count int) {
	t.Helper()
	for i := range count {
		if err := r.Record(t.Context(), entry(from+i)); err != nil {
			t.Fatal(err)
		}
	}
}

// filled makes a log of some records in a store, stops it, and returns its key.
func filled(t testing.TB, place database.Place, count int) (*database.DB, audit.SigningKey) {
	t.Helper()
	log := run(t, place, audit.Options{})
	log.fill(t, 0, count)
	log.stop()
	return log.db, log.key
}

func verify(t testing.TB, db *database.DB, trust audit.Trust) audit.Report {
	t.Helper()
	report, err := audit.Verify(t.Context(), db, trust)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// brokenAt returns where a verification found the first record that is not what was written.
func brokenAt(t testing.TB, err error) (from, to int64) {
	t.Helper()
	var broken *audit.BrokenError
	if !errors.As(err, &broken) {
		t.Fatalf("no record is named: %v", err)
	}
	return broken.From, broken.To
}

func export(t testing.TB, db *database.DB) string {
	t.Helper()
	var out bytes.Buffer
	if err := audit.Export(t.Context(), db, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func verifyExport(text string, trust audit.Trust) (audit.Report, error) {
	return audit.VerifyExport(strings.NewReader(text), trust)
}

func alter(t testing.TB, db *database.DB, statement string, args ...any) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *database.Tx) error {
		_, err := tx.Exec(t.Context(), statement, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// memoryAnchor is an anchor of a test.
type memoryAnchor struct {
	mu   sync.Mutex
	last audit.Anchored
	fail error
}

func (*memoryAnchor) String() string { return "the test's anchor" }

func (a *memoryAnchor) Publish(_ context.Context, what audit.Anchored) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail == nil {
		a.last = what
	}
	return a.fail
}

func (a *memoryAnchor) Last(context.Context) (audit.Anchored, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last, a.fail
}
