package audit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/database"
	"holdfast.dev/holdfast/internal/record/database/databasetest"
)

var (
	_ record.Recorder = (*audit.Log)(nil)
	_ audit.Anchor    = (*memoryAnchor)(nil)
)

func TestRecordsAreKept(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, place database.Place) {
		anchor := &memoryAnchor{}
		log := run(t, place, audit.Options{Anchors: []audit.Anchor{anchor}})
		want := record.Entry{
			At: time.Date(2026, 9, 1, 12, 0, 0, 123456789, time.FixedZone("", 7200)), Kind: record.ReleaseBegun,
			Subject:  record.Subject{Kind: "Kustomization", Namespace: "flux-system", Name: "apps", Cluster: "https://other"},
			Actor:    record.Actor{Type: record.Author, Name: "A & B <a@example.com>"},
			Revision: record.Revision{Name: "main@sha1:1234", Title: "häufig   \x00 \xff"},
			Release:  7, Fingerprint: "sha256:1", Reason: "R", Message: "m",
			Objects: []record.Touched{{Ref: object.Ref{Kind: "Secret", Name: "s"}, Action: object.Created, Fields: []string{".data"}}},
			Stages:  []record.Stage{{Name: "render", Took: time.Second}},
			Details: map[string]string{"b": "2", "a": "1"},
		}
		if err := log.Record(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		got, err := audit.List(t.Context(), open(t, place), audit.Filter{})
		if err != nil || len(got) != 1 {
			t.Fatalf("%d records (%v)", len(got), err)
		}
		want.At, want.Revision.Title = want.At.UTC(), "häufig   \x00 �"
		if diff := cmp.Diff(want, got[0].Entry); diff != "" {
			t.Errorf("an entry comes back as it was (-want +got):\n%s", diff)
		}
		if strings.ContainsAny(string(got[0].Body), "\n\x00") || !strings.HasPrefix(string(got[0].Body), `{"v":1,"at":"2026-09-01T10:00:00.123456789Z","kind":"ReleaseBegun"`) {
			t.Errorf("the body is %s", got[0].Body)
		}
		log.stop()
		report := verify(t, log.db, audit.Trust{Verifiers: []string{anchor.last.Verifier}, Notes: []string{anchor.last.Note}})
		if report.Size != 1 || report.Vouched != 1 || report.Checkpoints < 2 || anchor.last.Verifier != log.key.Verifier {
			t.Errorf("a log that stops is signed and anchored to its end: %+v", report)
		}
		if err := log.Record(t.Context(), want); err == nil {
			t.Error("a log that has stopped keeps nothing")
		}
	})
}

func TestFilters(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, place database.Place) {
		db, _ := filled(t, place, 12)
		at := func(second int) time.Time { return entry(second).At }
		cases := map[string]struct {
			why    string
			filter audit.Filter
			want   []int64
		}{
			"All":     {"no filter", audit.Filter{}, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
			"Name":    {"a name alone", audit.Filter{Subject: "apps"}, []int64{1, 3, 5, 7, 9, 11}},
			"Full":    {"the whole subject", audit.Filter{Subject: "Kustomization/flux-system/infrastructure"}, []int64{2, 4, 6, 8, 10, 12}},
			"Pattern": {"no wildcards", audit.Filter{Subject: "app_"}, nil},
			"Kind":    {"one kind", audit.Filter{Kinds: []record.Kind{record.ReleaseGood}}, []int64{3, 6, 9, 12}},
			"Kinds":   {"two kinds", audit.Filter{Kinds: []record.Kind{record.ReleaseGood, record.ReleaseBegun}, From: 9}, []int64{9, 11, 12}},
			"Time":    {"from one time to before another", audit.Filter{Since: at(3), Until: at(5)}, []int64{4, 5}},
			"Actor":   {"who did it", audit.Filter{Actor: "Person 1 <p@example.com>"}, []int64{2, 5, 8, 11}},
			"Limit":   {"the last ones, in order", audit.Filter{Limit: 2}, []int64{11, 12}},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				found, err := audit.List(t.Context(), db, c.filter)
				if err != nil {
					t.Fatal(err)
				}
				var got []int64
				for _, r := range found {
					got = append(got, r.N)
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("%s: got %d, want %d", c.why, got, c.want)
				}
			})
		}
	})
}

// TestReplicas: two processes write to one store, and the log has one order.
func TestReplicas(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, place database.Place) {
		first := run(t, place, audit.Options{})
		second := run(t, place, audit.Options{Key: keyed(first.key)})
		var group sync.WaitGroup
		for i := range 8 {
			log := []running{first, second}[i%2]
			group.Go(func() {
				for j := range 25 {
					if err := log.Record(t.Context(), entry(i*100+j)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		first.stop()
		second.stop()
		if report := verify(t, first.db, audit.Trust{Verifiers: []string{first.key.Verifier}}); report.Size != 200 || report.Vouched != 200 {
			t.Errorf("200 records were written: %+v", report)
		}
	})
}

// blocked is a place where no store can be: a folder stands there. mend takes it away.
func blocked(t *testing.T) (place database.Place, mend func()) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "record.db")
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	return database.File(file), func() {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRequiredRefusesWhileTheStoreIsDown(t *testing.T) {
	place, mend := blocked(t)
	log := run(t, place, audit.Options{Mode: audit.Required})
	err := log.Record(t.Context(), entry(0))
	if err == nil || fault.ReasonOf(err, "") != audit.Unavailable {
		t.Fatalf("an entry that cannot be kept is refused: %v", err)
	}
	if !log.Stats().Down {
		t.Error("a log that is down says so")
	}
	mend()
	log.fill(t, 1, 3)
	if stats := log.Stats(); stats.Down || stats.Size != 3 {
		t.Errorf("the log goes on without a restart: %+v", stats)
	}
	log.stop()
	verify(t, log.db, audit.Trust{})
}

func TestRequiredHeedsItsCaller(t *testing.T) {
	log := audit.New(open(t, databasetest.SQLite(t)), audit.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := log.Record(ctx, entry(0)); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits longer than he wants to: %v", err)
	}
}

func TestBestEffortKeepsWhatItCan(t *testing.T) {
	place, mend := blocked(t)
	log := run(t, place, audit.Options{Mode: audit.BestEffort, Queue: 5})
	eventually.True(t, "the store is known to be down", func() bool { return log.Stats().Down })
	log.fill(t, 0, 1) // which the writer takes and holds
	eventually.True(t, "the writer tries", func() bool { return log.Stats().Waiting == 0 })
	log.fill(t, 1, 9)
	if stats := log.Stats(); stats.Waiting != 5 || stats.Lost != 4 {
		t.Errorf("the queue has its limit: %+v", stats)
	}
	mend()
	eventually.True(t, "the store is back", func() bool { return log.Stats().Waiting == 0 && !log.Stats().Down })
	log.fill(t, 10, 2)
	log.stop()
	verify(t, log.db, audit.Trust{})
	found, err := audit.List(t.Context(), log.db, audit.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range found {
		got = append(got, strings.Fields(r.Entry.Message)[0]+" "+strings.Fields(r.Entry.Message)[1])
	}
	want := []string{"message 0", "message 1", "message 2", "message 3", "message 4", "message 5", "4 entries", "message 10", "message 11"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what was lost is told in its place (-want +got):\n%s", diff)
	}
	if found[6].Entry.Kind != record.Gap {
		t.Errorf("the gap is a %s", found[6].Entry.Kind)
	}
}

// TestNewStoreUnderneath: a store that is replaced while the log runs is not taken for the old one.
func TestNewStoreUnderneath(t *testing.T) {
	place := databasetest.SQLite(t)
	log := run(t, place, audit.Options{})
	log.fill(t, 0, 3)
	alter(t, log.db, "DELETE FROM audit_entry WHERE n > 1")
	alter(t, log.db, "DELETE FROM audit_head")
	if err := log.Record(t.Context(), entry(3)); err == nil || !strings.Contains(err.Error(), "set back") {
		t.Errorf("a log that was cut is not continued in silence: %v", err)
	}
}

func TestNothingIsSignedThatWasRewritten(t *testing.T) {
	place := databasetest.SQLite(t)
	db, key := filled(t, place, 5)
	alter(t, db, "DELETE FROM audit_checkpoint WHERE size > 0")
	alter(t, db, "UPDATE audit_entry SET body = ? WHERE n = 3", []byte(`{"v":1}`))
	log := run(t, place, audit.Options{Key: keyed(key)})
	from, to := brokenAt(t, log.Record(t.Context(), entry(5)))
	if from != 3 || to != 3 {
		t.Errorf("records %d to %d are named, and 3 was altered", from, to)
	}
	if err := log.Record(t.Context(), entry(6)); err == nil {
		t.Error("a second try makes it no better")
	}
}

func TestAnchorsTellOfALostStore(t *testing.T) {
	anchor := &memoryAnchor{}
	first := run(t, databasetest.SQLite(t), audit.Options{Anchors: []audit.Anchor{anchor}})
	first.fill(t, 0, 4)
	first.stop()
	second := run(t, databasetest.SQLite(t), audit.Options{Key: keyed(first.key), Anchors: []audit.Anchor{anchor}})
	eventually.True(t, "the log tells that it is another one", func() bool { return second.Stats().Size > 0 })
	second.stop()
	found, err := audit.List(t.Context(), second.db, audit.Filter{Kinds: []record.Kind{record.Gap}})
	if err != nil || len(found) != 1 || found[0].Entry.Reason != "StoreLost" {
		t.Errorf("the loss is a record: %+v %v", found, err)
	}
}

func TestNewKeyIsToldOf(t *testing.T) {
	place := databasetest.SQLite(t)
	db, old := filled(t, place, 3)
	log := run(t, place, audit.Options{})
	log.fill(t, 3, 1)
	log.stop()
	found, err := audit.List(t.Context(), db, audit.Filter{Kinds: []record.Kind{record.Signing}})
	if err != nil || len(found) != 1 || !strings.Contains(found[0].Entry.Message, log.key.Verifier) {
		t.Errorf("the new key is a record: %+v %v", found, err)
	}
	if report := verify(t, db, audit.Trust{}); report.Foreign != 0 || report.Vouched != 5 {
		t.Errorf("both keys vouch: %+v", report)
	}
	if report := verify(t, db, audit.Trust{Verifiers: []string{old.Verifier}}); report.Foreign == 0 || report.Vouched != 3 {
		t.Errorf("whoever believes the old one sees how far it vouches: %+v", report)
	}
}

func TestSecretsStayOut(t *testing.T) {
	place := databasetest.SQLite(t)
	log := run(t, place, audit.Options{})
	canaries := []string{"canary-password", "AGE-SECRET-KEY-1CANARY", "canaryPEM"}
	one := entry(0)
	one.Message = "fetching https://user:canary-password@example.com/x and ssh://canary-password@h: " +
		"AGE-SECRET-KEY-1CANARY -----BEGIN RSA PRIVATE KEY-----\ncanaryPEM\n-----END RSA PRIVATE KEY----- gone"
	if err := log.Record(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	log.stop()
	_ = log.db.Close()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(place.String()), "*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no files of the store", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, canary := range append(canaries, "PRIVATE+KEY") {
			if strings.Contains(string(content), canary) {
				t.Errorf("%s holds %s", file, canary)
			}
		}
	}
}

// TestLag: while the store is down, the log says for how long its oldest entry waits.
func TestLag(t *testing.T) {
	var ahead atomic.Int64
	now := func() time.Time { return time.Unix(1_000_000_000+ahead.Load(), 0) }
	db := open(t, databasetest.SQLite(t))
	_ = db.Close() // nothing can be written to it
	log := audit.New(db, audit.Options{Mode: audit.BestEffort, Patience: time.Millisecond, Pause: time.Millisecond, Now: now})
	if lag := log.Stats().Lag; lag != 0 {
		t.Errorf("nothing waits: %s", lag)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = log.Run(ctx) })
	defer func() { cancel(); running.Wait() }()
	for i := range 3 {
		_ = log.Record(t.Context(), entry(i))
		ahead.Add(10)
	}
	if lag := log.Stats().Lag; lag != 30*time.Second {
		t.Errorf("the oldest entry waits for %s", lag)
	}
}
