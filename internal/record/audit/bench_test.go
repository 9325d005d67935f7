package audit_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/database"
	"holdfast.dev/holdfast/internal/record/database/databasetest"
)

// BenchmarkRecord measures durable appends by one, sixteen and sixty-four callers at once.
func BenchmarkRecord(b *testing.B) {
	for name, place := range map[string]func(testing.TB) database.Place{"SQLite": databasetest.SQLite, "PostgreSQL": databasetest.Postgres} {
		for _, writers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/%d", name, writers), func(b *testing.B) {
				log := run(b, place(b), audit.Options{})
				log.fill(b, 0, 1)
				var (
					next  atomic.Int64
					group sync.WaitGroup
				)
				b.ResetTimer()
				for range writers {
					group.Go(func() {
						for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
							if err := log.Record(b.Context(), entry(int(i))); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				group.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
				log.stop()
			})
		}
	}
}

// BenchmarkVerify measures the verification of a million records, in the store and in an export.
func BenchmarkVerify(b *testing.B) {
	const size, writers = 1_000_000, 1024
	log := run(b, databasetest.SQLite(b), audit.Options{})
	var group sync.WaitGroup
	for writer := range writers {
		group.Go(func() { log.fill(b, writer*size, size/writers) })
	}
	group.Wait()
	log.stop()
	var text strings.Builder
	if err := audit.Export(b.Context(), log.db, &text); err != nil {
		b.Fatal(err)
	}
	b.Run("Store", func(b *testing.B) {
		for b.Loop() {
			verify(b, log.db, audit.Trust{})
		}
	})
	b.Run("Export", func(b *testing.B) {
		for b.Loop() {
			if _, err := audit.VerifyExport(strings.NewReader(text.String()), audit.Trust{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("WritingAnExport", func(b *testing.B) {
		for b.Loop() {
			if err := audit.Export(b.Context(), log.db, io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
}
