package audit

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// What can be wrong with a record.
const (
	altered  = "it is not the one that was written: it was altered, or another one was removed, inserted or moved here"
	removed  = "it was removed"
	inserted = "it was inserted, or moved here"
)

// BrokenError says which record of a log is not what was written, or the range that holds it.
type BrokenError struct {
	From, To int64
	What     string
}

// Error implements error.
func (e *BrokenError) Error() string {
	if e.From == e.To {
		return fmt.Sprintf("record %d: %s", e.From, e.What)
	}
	return fmt.Sprintf("records %d to %d: %s", e.From, e.To, e.What)
}

func broken(from, to int64, what string) error { return &BrokenError{From: from, To: to, What: what} }

// Report says what a verification has seen.
type Report struct {
	Size int64 `json:"size"`
	// Dropped is how many records, from the first on, had their hashes only.
	Dropped int64 `json:"dropped"`
	// Checkpoints is how many signatures were good and fitted; Foreign is how many were made by other
	// keys than those that were given.
	Checkpoints int `json:"checkpoints"`
	Foreign     int `json:"foreign"`
	// Vouched is the size of the last checkpoint: the records after it are not signed yet.
	Vouched int64     `json:"vouched"`
	At      time.Time `json:"at,omitzero"` // of the last checkpoint
	Root    string    `json:"root"`
}

// Verifier judges a log whose parts are given to it in order: first tiles, then records, then End.
type Verifier struct {
	tree        tree
	checkpoints []Checkpoint // that are still to come, by size
	report      Report
}

// NewVerifier makes a verifier that believes the signatures of some keys. Notes that were signed by
// others are counted and not considered.
func NewVerifier(keys note.Verifiers, notes []string) (*Verifier, error) {
	v := &Verifier{}
	for _, text := range notes {
		checkpoint, err := OpenCheckpoint(text, keys)
		var unsigned *note.UnverifiedNoteError
		if errors.As(err, &unsigned) {
			v.report.Foreign++
			continue
		}
		if err != nil {
			said, _ := claimed(text)
			return nil, broken(said.Size, said.Size, "the checkpoint that was signed here was altered: "+err.Error())
		}
		v.checkpoints = append(v.checkpoints, checkpoint)
	}
	slices.SortStableFunc(v.checkpoints, func(a, b Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
	return v, nil
}

// Tile takes the hashes of records that retention has dropped.
func (v *Verifier) Tile(tile int64, hashes []byte) error {
	next := v.tree.size/tileRecords + 1
	if v.tree.size != v.report.Dropped || tile != next-1 || len(hashes) != tileRecords*tlog.HashSize {
		return broken(v.tree.size+1, v.tree.size+tileRecords, "their hashes were removed, or moved")
	}
	for _, hash := range unpack(hashes) {
		v.tree.grow(hash)
		if err := v.vouch(); err != nil {
			return err
		}
	}
	v.report.Dropped = v.tree.size
	return nil
}

// Record takes the next record. Its entry may be missing.
func (v *Verifier) Record(r Record) error {
	if err := follow(&v.tree, r); err != nil {
		if v.tree.size == r.N && v.report.Dropped == r.N-1 && r.N > 1 {
			return broken(v.report.Vouched+1, r.N, "it, or a hash of those that were dropped, is not the one that was written")
		}
		return err
	}
	return v.vouch()
}

// vouch compares the tree with the checkpoints of its size.
func (v *Verifier) vouch() error {
	for len(v.checkpoints) > 0 && v.checkpoints[0].Size <= v.tree.size {
		checkpoint := v.checkpoints[0]
		v.checkpoints = v.checkpoints[1:]
		if checkpoint.Size == 0 {
			continue
		}
		if checkpoint.Root != v.tree.root() {
			return broken(v.report.Vouched+1, v.tree.size, "they were written anew: the checkpoint that was signed at "+
				checkpoint.At.UTC().Format(time.RFC3339)+" vouches for others")
		}
		v.report.Checkpoints++
		v.report.Vouched, v.report.At = checkpoint.Size, checkpoint.At
	}
	return nil
}

// ownKeys refuses checkpoints that none of the keys in the log itself has signed.
func (v *Verifier) ownKeys(trust Trust) error {
	if len(trust.Verifiers) == 0 && v.report.Foreign > 0 {
		return errors.New("a checkpoint was signed by a key that the log does not know: one of the two was altered")
	}
	return nil
}

// End says that there are no further records. size is how many there are to be.
func (v *Verifier) End(size int64) (Report, error) {
	v.report.Size, v.report.Root = v.tree.size, v.tree.root().String()
	last := size
	if count := len(v.checkpoints); count > 0 {
		last = max(last, v.checkpoints[count-1].Size)
	}
	switch {
	case last > v.tree.size:
		return v.report, broken(v.tree.size+1, last, "they were removed from the end")
	case size < v.tree.size:
		return v.report, broken(size+1, v.tree.size, "they were added behind the end")
	}
	return v.report, nil
}
