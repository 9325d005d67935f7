package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/note"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/database"
)

// SigningKey is an Ed25519 key in the form of golang.org/x/mod/sumdb/note.
type SigningKey struct {
	Private redact.Text
	// Verifier is the public half, which people give to verify.
	Verifier string
}

// GenerateKey makes a new key.
func GenerateKey(random io.Reader) (SigningKey, error) {
	private, public, err := note.GenerateKey(random, Origin)
	if err != nil {
		return SigningKey{}, fmt.Errorf("making a key for the audit log: %w", err)
	}
	return SigningKey{Private: redact.Text(private), Verifier: public}, nil
}

// KeySource gives the key that signs. It may fail for a while, as long as a cluster cannot be reached.
type KeySource interface {
	Key(ctx context.Context) (SigningKey, error)
}

// KeyFunc is a KeySource that is a function.
type KeyFunc func(ctx context.Context) (SigningKey, error)

// Key implements KeySource.
func (f KeyFunc) Key(ctx context.Context) (SigningKey, error) { return f(ctx) }

// Anchored is what an anchor keeps: the last checkpoint, and the key that verifies it.
type Anchored struct{ Note, Verifier string }

// Anchor keeps the last checkpoint in a place that is not the store, so that whoever can rewrite the
// store cannot do it unseen.
type Anchor interface {
	// String names the place for messages.
	String() string
	Publish(ctx context.Context, what Anchored) error
	// Last returns what was published last, and the zero value where nothing was.
	Last(ctx context.Context) (Anchored, error)
}

// signing is what the part of a Log knows that signs.
type signing struct {
	log      *Log
	key      SigningKey
	signer   note.Signer
	begun    bool
	last     signed
	anchored []int64 // sizes, one for each anchor
	anchorAt time.Time
	troubled string // the last error that was told
	ending   bool   // the writer has ended
}

// retry is the pause after something that did not work.
const retry = 5 * time.Second

// signNowAndThen signs what is new until ctx ends, and then once more.
func (l *Log) signNowAndThen(ctx context.Context) {
	s := &signing{log: l, anchored: make([]int64, len(l.options.Anchors))}
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			s.finish(ctx)
			return
		case <-l.written:
		case <-again.C:
		}
		if wait := s.step(ctx); wait > 0 {
			again.Reset(wait)
		}
		select {
		case <-time.After(l.options.CheckpointEvery):
		case <-ctx.Done():
		}
	}
}

// finish signs and publishes for the last time.
func (s *signing) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTries)
	defer cancel()
	s.anchorAt, s.ending = time.Time{}, true
	s.step(ctx)
}

// step does what is due, and returns when to look again although nothing is written; 0 is never.
func (s *signing) step(ctx context.Context) time.Duration {
	if err := s.sign(ctx); err != nil {
		s.tell(err, "the audit log cannot be signed")
		return retry
	}
	s.troubled = ""
	return s.publish(ctx)
}

// tell logs an error once.
func (s *signing) tell(err error, what string, pairs ...any) {
	if text := what + err.Error(); text != s.troubled && !errors.Is(err, context.Canceled) {
		s.troubled = text
		s.log.options.Log.Error(err, what, pairs...)
	}
}

func (s *signing) sign(ctx context.Context) error {
	known := s.log.known.Load()
	if known == nil {
		return nil // the store has not been reached yet
	}
	if !s.begun {
		if err := s.begin(ctx, *known); err != nil {
			return err
		}
		s.begun = true
		known = s.log.known.Load()
	}
	if known.size == 0 || known.size == s.last.Size {
		return nil
	}
	next := signed{Checkpoint: Checkpoint{Size: known.size, Root: known.root(), At: s.log.options.Now()}, tree: *known}
	var err error
	if next.note, err = next.sign(s.signer); err != nil {
		return err
	}
	err = s.log.db.Write(ctx, func(tx *database.Tx) error { return writeCheckpoint(ctx, tx, next) })
	if err == nil {
		s.last = next
	}
	return err
}

// begin gets the key and looks at what was signed before.
func (s *signing) begin(ctx context.Context, known tree) error {
	var err error
	if s.key, err = s.log.options.Key.Key(ctx); err != nil {
		return err
	}
	if s.signer, err = note.NewSigner(s.key.Private.Reveal()); err != nil {
		return errors.New("reading the key of the audit log: it is not in the form of a signer key")
	}
	var keys []string
	err = s.log.db.Read(ctx, func(tx *database.Tx) error {
		if keys, err = storedKeys(ctx, tx); err != nil {
			return err
		}
		s.last, err = lastCheckpoint(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	verifiers, err := Keys(unique(append(keys, s.key.Verifier))...)
	if err != nil {
		return err
	}
	if s.last.note != "" {
		if _, err := OpenCheckpoint(s.last.note, verifiers); err != nil {
			return fmt.Errorf("going on from the checkpoint of %d records: %w", s.last.Size, err)
		}
	}
	if len(keys) > 0 && keys[len(keys)-1] != s.key.Verifier {
		if err := s.note(ctx, record.Signing, "NewKey", "Checkpoints are signed by "+s.key.Verifier+" from here on"); err != nil {
			return err
		}
	}
	if err := s.compare(ctx, known); err != nil {
		return err
	}
	return s.log.db.Write(ctx, func(tx *database.Tx) error { return writeKey(ctx, tx, s.key.Verifier, s.log.options.Now()) })
}

// note records something about the log itself.
func (s *signing) note(ctx context.Context, kind record.Kind, reason, message string) error {
	body := s.log.note(kind, reason, message)
	if s.ending {
		return s.log.append(ctx, [][]byte{body})
	}
	if _, closed := s.log.queue.add(&waiting{body: body, done: make(chan error, 1)}, s.log.options.Now()); closed {
		return errStopped
	}
	return nil
}

// compare looks whether the log still holds what the anchors say. Where it does not, it says so in the
// log, for everybody to see, and goes on: a store that was lost must not end the platform.
func (s *signing) compare(ctx context.Context, known tree) error {
	verifiers, err := Keys(s.key.Verifier)
	if err != nil {
		return err
	}
	for _, anchor := range s.log.options.Anchors {
		kept, err := anchor.Last(ctx)
		if err != nil {
			s.log.options.Log.Error(err, "reading an anchor of the audit log", "anchor", anchor.String())
			continue
		}
		then, err := OpenCheckpoint(kept.Note, verifiers)
		if err != nil {
			continue // nothing yet, or not of this key
		}
		reason, message := s.differs(ctx, then, known, anchor)
		if reason != "" {
			s.log.options.Log.Error(errors.New(message), "the audit log is not the one that was anchored", "anchor", anchor.String())
			if err := s.note(ctx, record.Gap, reason, message); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *signing) differs(ctx context.Context, then Checkpoint, known tree, anchor Anchor) (reason, message string) {
	if then.Size > known.size {
		return "StoreLost", fmt.Sprintf("%s vouches for %d records of %s, and the store held %d: the others were lost or removed",
			anchor, then.Size, then.At.UTC().Format(time.RFC3339), known.size)
	}
	same := true
	err := s.log.db.Read(ctx, func(tx *database.Tx) error {
		root, found, err := rootAt(ctx, tx, then.Size)
		same = !found || root == then.Root
		return err
	})
	if err == nil && same {
		return "", ""
	}
	return "StoreRewritten", fmt.Sprintf("the first %d records are not those that %s vouches for", then.Size, anchor)
}

// publish gives the last checkpoint to the anchors that do not have it, when their time has come.
func (s *signing) publish(ctx context.Context) time.Duration {
	if s.last.note == "" || len(s.anchored) == 0 {
		return 0
	}
	now := s.log.options.Now()
	if wait := s.anchorAt.Add(s.log.options.AnchorEvery).Sub(now); wait > 0 && !s.anchorAt.IsZero() {
		return wait
	}
	s.anchorAt = now
	failed := false
	for i, anchor := range s.log.options.Anchors {
		if s.anchored[i] == s.last.Size {
			continue
		}
		if err := anchor.Publish(ctx, Anchored{Note: s.last.note, Verifier: s.key.Verifier}); err != nil {
			s.tell(err, "publishing a checkpoint of the audit log", "anchor", anchor.String())
			failed = true
			continue
		}
		s.anchored[i] = s.last.Size
	}
	if failed {
		s.anchorAt = time.Time{}
		return retry
	}
	return 0
}

func unique(texts []string) []string {
	seen := map[string]bool{}
	var kept []string
	for _, text := range texts {
		if !seen[text] {
			seen[text] = true
			kept = append(kept, text)
		}
	}
	return kept
}
