package store_test

import (
	"fmt"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/store"
)

// thousand is a tree of a thousand manifests of 1 to 2 KiB.
func thousand() files {
	all := files{}
	for i := range 1000 {
		all[fmt.Sprintf("apps/app-%03d/deployment.yaml", i)] = fmt.Sprintf("kind: Deployment\nmetadata:\n  name: app-%d\n", i) + strings.Repeat(fmt.Sprintf("# line %d\n", i*7919), 100)
	}
	return all
}

func BenchmarkReadThousandFiles(b *testing.B) {
	stored := put(b, open(b, b.TempDir(), store.Options{}), thousand().snapshot("1"), nil)
	for b.Loop() {
		for _, entry := range stored.Index().Entries() {
			if _, err := stored.Read(entry.Path); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(stored.Size()), "archive-bytes")
}

func BenchmarkPutThousandFiles(b *testing.B) {
	snapshot := thousand().snapshot("1")
	for b.Loop() {
		b.StopTimer()
		s := open(b, b.TempDir(), store.Options{})
		b.StartTimer()
		put(b, s, snapshot, nil)
	}
}

func BenchmarkPutOneChangeInThousandFiles(b *testing.B) {
	s := open(b, b.TempDir(), store.Options{})
	all := thousand()
	previous, n := put(b, s, all.snapshot("1"), nil), 0
	for b.Loop() {
		b.StopTimer()
		all["apps/app-500/deployment.yaml"] = fmt.Sprint("kind: Deployment # ", n)
		snapshot := all.snapshot("2")
		n++
		b.StartTimer()
		previous = put(b, s, snapshot, previous)
	}
}
