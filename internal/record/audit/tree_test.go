package audit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// TestTreeIsTlogs: the edge alone gives the roots that tlog finds with all hashes at hand.
func TestTreeIsTlogs(t *testing.T) {
	var (
		ours   tree
		stored []tlog.Hash
	)
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			found[i] = stored[index]
		}
		return found, nil
	})
	for n := range int64(300) {
		want, err := tlog.TreeHash(n, reader)
		if err != nil {
			t.Fatal(err)
		}
		if ours.root() != want {
			t.Fatalf("the root of %d records is %s, want %s", n, ours.root(), want)
		}
		read, err := treeOf(n, ours.bytes())
		if err != nil || read.root() != want {
			t.Fatalf("the edge of %d records does not come back: %v", n, err)
		}
		body := fmt.Appendf(nil, "record %d", n)
		hashes, err := tlog.StoredHashes(n, body, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		ours.grow(tlog.RecordHash(body))
	}
	if _, err := treeOf(3, ours.bytes()); err == nil {
		t.Error("an edge of another size is taken")
	}
}

func FuzzCheckpoint(f *testing.F) {
	f.Add(Checkpoint{Size: 5, At: time.Unix(1, 2)}.text())
	f.Add(Origin + "\n+1\n\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		read, err := parseCheckpoint(text)
		if err == nil && read.text() != text {
			t.Errorf("%q is read as %q", text, read.text())
		}
		_, _ = claimed(text)
	})
}

func TestLongEntriesAreCut(t *testing.T) {
	text := shortened(strings.Repeat("ä", maxText))
	if len(text) > maxText+100 || !strings.HasSuffix(text, "bytes more") {
		t.Errorf("%d bytes are left, which end in %q", len(text), text[len(text)-30:])
	}
}
