package audit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/database"
	"holdfast.dev/holdfast/internal/record/database/databasetest"
)

// TestEveryByteOfAnExport flips each byte of an export and sees it found, at the record that it
// belongs to.
func TestEveryByteOfAnExport(t *testing.T) {
	db, key := filled(t, databasetest.SQLite(t), 6)
	whole := export(t, db)
	for _, trust := range []audit.Trust{{}, {Verifiers: []string{key.Verifier}}} {
		if report, err := verifyExport(whole, trust); err != nil || report.Size != 6 || report.Vouched != 6 {
			t.Fatalf("an export that nobody touched is whole: %+v %v", report, err)
		}
	}
	for at := range len(whole) {
		line := int64(strings.Count(whole[:at], "\n"))
		for _, flip := range []byte{0x01, 0x20} {
			edited := []byte(whole)
			edited[at] ^= flip
			_, err := verifyExport(string(edited), audit.Trust{})
			var broken *audit.BrokenError
			switch {
			case err == nil:
				t.Errorf("byte %d (%q in line %d) was altered unseen", at, whole[at], line+1)
			case line > 0 && !errors.As(err, &broken):
				t.Errorf("byte %d: no record is named: %s", at, err)
			case line > 0 && (broken.From > line || broken.To < line):
				t.Errorf("byte %d is in record %d, and named is: %s", at, line, err)
			}
		}
	}
}

func TestEditedExports(t *testing.T) {
	db, key := filled(t, databasetest.SQLite(t), 6)
	whole := export(t, db)
	trust := audit.Trust{Verifiers: []string{key.Verifier}}
	cases := map[string]struct {
		why  string
		edit func(lines []string) []string
		want int64
	}{
		"Removed":   {"a record was taken out", func(l []string) []string { return append(l[:3], l[4:]...) }, 3},
		"Doubled":   {"a record was put in", func(l []string) []string { return append(l[:4], l[3:]...) }, 3},
		"Swapped":   {"two records changed places", func(l []string) []string { l[2], l[3] = l[3], l[2]; return l }, 2},
		"Truncated": {"the last records are gone", func(l []string) []string { return l[:5] }, 5},
		"Cut":       {"the last line is not complete", func(l []string) []string { l[6] = l[6][:9]; return l }, 6},
		"Renumbered": {"a record was taken out and the others renumbered", func(l []string) []string {
			for i := 4; i < 7; i++ {
				l[i] = strings.Replace(l[i], fmt.Sprintf(`{"n":%d`, i), fmt.Sprintf(`{"n":%d`, i-1), 1)
			}
			return append(l[:3], l[4:]...)
		}, 3},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			edited := strings.Join(c.edit(strings.SplitAfter(strings.TrimSuffix(whole, "\n")+"\n", "\n")[:7]), "")
			_, err := verifyExport(edited, trust)
			if from, _ := brokenAt(t, err); from != c.want {
				t.Errorf("%s: record %d is named, want %d: %s", c.why, from, c.want, err)
			}
		})
	}
}

func TestEditedStores(t *testing.T) {
	cases := map[string]struct {
		why, statement string
		from, to       int64
	}{
		"Body":       {"an altered body", "UPDATE audit_entry SET body = (SELECT body FROM audit_entry WHERE n = 2) WHERE n = 4", 4, 4},
		"Root":       {"an altered root", "UPDATE audit_entry SET root = (SELECT root FROM audit_entry WHERE n = 2) WHERE n = 4", 4, 4},
		"Time":       {"an altered column", "UPDATE audit_entry SET at = at + 1 WHERE n = 4", 4, 4},
		"Kind":       {"an altered column", "UPDATE audit_entry SET kind = 'Pruned' WHERE n = 4", 4, 4},
		"Subject":    {"an altered column", "UPDATE audit_entry SET subject = 'x' WHERE n = 4", 4, 4},
		"Actor":      {"an altered column", "UPDATE audit_entry SET actor = 'x' WHERE n = 4", 4, 4},
		"Removed":    {"a removed record", "DELETE FROM audit_entry WHERE n = 4", 4, 4},
		"First":      {"the first record", "DELETE FROM audit_entry WHERE n = 1", 1, 1},
		"Last":       {"removed from the end", "DELETE FROM audit_entry WHERE n > 4", 5, 6},
		"Renumbered": {"another number", "UPDATE audit_entry SET n = 40 WHERE n = 4", 4, 4},
		"Inserted":   {"one more", "INSERT INTO audit_entry SELECT 0, at, kind, subject, actor, body, root FROM audit_entry WHERE n = 1", 1, 1},
		"Added":      {"one more at the end", "INSERT INTO audit_entry SELECT 7, at, kind, subject, actor, body, root FROM audit_entry WHERE n = 1", 7, 7},
		"Checkpoint": {"an altered checkpoint", "UPDATE audit_checkpoint SET note = replace(note, '2026', '2025') WHERE size = 6", 6, 6},
		"Size":       {"a checkpoint of another size", "UPDATE audit_checkpoint SET size = 9 WHERE size = 6", 9, 9},
		"Head":       {"a head set back", "UPDATE audit_head SET size = 4, edge = (SELECT edge FROM audit_checkpoint WHERE size = 4)", 5, 6},
	}
	databasetest.Each(t, func(t *testing.T, place database.Place) {
		log := run(t, place, audit.Options{})
		for i := range 6 {
			log.fill(t, i, 1)
			eventually.True(t, "it is signed", func() bool { return verify(t, log.db, audit.Trust{}).Vouched == int64(i+1) })
		}
		log.stop()
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				restoreAfterwards(t, log.db)
				alter(t, log.db, c.statement)
				_, err := audit.Verify(t.Context(), log.db, audit.Trust{Verifiers: []string{log.key.Verifier}})
				if from, to := brokenAt(t, err); from != c.from || to != c.to {
					t.Errorf("%s: records %d to %d are named, want %d to %d: %s", c.why, from, to, c.from, c.to, err)
				}
			})
		}
		verify(t, log.db, audit.Trust{})
	})
}

// restoreAfterwards copies the tables of a store, and puts the copies back when the test ends.
func restoreAfterwards(t *testing.T, db *database.DB) {
	t.Helper()
	for _, table := range []string{"audit_entry", "audit_head", "audit_checkpoint", "audit_key", "audit_tile"} {
		alter(t, db, "CREATE TABLE copy_of_"+table+" AS SELECT * FROM "+table)
		t.Cleanup(func() {
			for _, statement := range []string{"DELETE FROM " + table, "INSERT INTO " + table + " SELECT * FROM copy_of_" + table, "DROP TABLE copy_of_" + table} {
				err := db.Write(context.Background(), func(tx *database.Tx) error {
					_, err := tx.Exec(context.Background(), statement)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestRewrittenHistory: whoever can rewrite the whole store, its roots and its own checkpoints too, is
// still found out by a checkpoint from elsewhere.
func TestRewrittenHistory(t *testing.T) {
	anchor := &memoryAnchor{}
	log := run(t, databasetest.SQLite(t), audit.Options{Anchors: []audit.Anchor{anchor}})
	log.fill(t, 0, 5)
	log.stop()
	forged, forger := filled(t, databasetest.SQLite(t), 6) // the same entries, and one more
	if _, err := audit.Verify(t.Context(), forged, audit.Trust{}); err != nil {
		t.Fatal("a forged log looks whole by itself: ", err)
	}
	if report := verify(t, forged, audit.Trust{Verifiers: []string{log.key.Verifier}}); report.Checkpoints != 0 || report.Foreign == 0 {
		t.Errorf("the true key vouches for nothing of it: %+v", report)
	}
	trust := audit.Trust{Verifiers: []string{log.key.Verifier, forger.Verifier}, Notes: []string{anchor.last.Note}}
	if report := verify(t, forged, trust); report.Checkpoints < 2 {
		t.Errorf("the same records have the same roots: %+v", report)
	}
	alter(t, forged, "DELETE FROM audit_checkpoint WHERE size < 6")
	other, _ := filled(t, databasetest.SQLite(t), 0)
	again := run(t, other.Place(), audit.Options{})
	again.fill(t, 50, 7)
	again.stop()
	_, err := audit.Verify(t.Context(), other, audit.Trust{Verifiers: []string{log.key.Verifier, again.key.Verifier}, Notes: []string{anchor.last.Note}})
	if _, to := brokenAt(t, err); to != 5 {
		t.Errorf("the range up to the checkpoint is named: %s", err)
	}
	short, _ := filled(t, databasetest.SQLite(t), 3)
	_, err = audit.Verify(t.Context(), short, audit.Trust{Verifiers: []string{log.key.Verifier}, Notes: []string{anchor.last.Note}})
	if from, to := brokenAt(t, err); from != 4 || to != 5 {
		t.Errorf("records 4 and 5 are gone: %s", err)
	}
}

func TestRetention(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, place database.Place) {
		log := run(t, place, audit.Options{Count: 100})
		log.fill(t, 0, 700)
		eventually.True(t, "it is signed", func() bool { return verify(t, log.db, audit.Trust{}).Vouched == 700 })
		if err := log.Retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		log.fill(t, 700, 1)
		log.stop()
		trust := audit.Trust{Verifiers: []string{log.key.Verifier}}
		if report := verify(t, log.db, trust); report.Dropped != 512 || report.Size != 702 || report.Vouched != 702 {
			t.Errorf("whole tiles are dropped, and a record says so: %+v", report)
		}
		found, err := audit.List(t.Context(), log.db, audit.Filter{})
		if err != nil || len(found) != 190 || found[0].N != 513 {
			t.Fatalf("%d records are left (%v)", len(found), err)
		}
		whole := export(t, log.db)
		if report, err := verifyExport(whole, trust); err != nil || report.Dropped != 512 {
			t.Errorf("an export carries the hashes: %+v %v", report, err)
		}
		at := strings.Index(whole, `"hashes":"`) + 100
		_, err = verifyExport(whole[:at]+string(whole[at]^1)+whole[at+1:], trust)
		brokenAt(t, err)
		again := run(t, place, audit.Options{Key: keyed(log.key), Age: time.Hour, Now: func() time.Time { return entry(0).At.Add(24 * time.Hour) }})
		eventually.True(t, "the log is there", func() bool { return again.Stats().Size == 702 })
		if err := again.Retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		again.stop()
		if report := verify(t, log.db, trust); report.Dropped != 512 {
			t.Errorf("what is younger than a day by its own time stays: %+v", report)
		}
		alter(t, log.db, "DELETE FROM audit_tile WHERE tile = 0")
		_, err = audit.Verify(t.Context(), log.db, trust)
		if from, to := brokenAt(t, err); from != 1 || to != 256 {
			t.Errorf("the hashes of 1 to 256 are gone: %s", err)
		}
	})
}

func TestRetentionDropsNothingThatWasAltered(t *testing.T) {
	log := run(t, databasetest.SQLite(t), audit.Options{Count: 1})
	log.fill(t, 0, 600)
	eventually.True(t, "it is signed", func() bool { return verify(t, log.db, audit.Trust{}).Vouched == 600 })
	alter(t, log.db, "UPDATE audit_entry SET body = ? WHERE n = 300", []byte(`{"v":1}`))
	if from, _ := brokenAt(t, log.Retain(t.Context())); from != 300 {
		t.Errorf("record %d is named", from)
	}
}

func FuzzVerifyExport(f *testing.F) {
	db, key := filled(f, databasetest.SQLite(f), 4)
	whole := export(f, db)
	f.Add(whole)
	f.Add("{\"format\":\"holdfast.audit/v1\",\"size\":0,\"keys\":null,\"checkpoints\":null}\n")
	f.Add(strings.Replace(whole, "{\"n\":2", "{\"tile\":0,\"n\":2", 1))
	f.Fuzz(func(t *testing.T, text string) {
		report, err := verifyExport(text, audit.Trust{Verifiers: []string{key.Verifier}})
		if err == nil && report.Vouched > 0 && !strings.HasPrefix(strings.SplitN(text, "\n", 2)[1], strings.SplitN(whole, "\n", 2)[1][:20]) {
			t.Errorf("the key vouches for what it never signed: %+v", report)
		}
	})
}
