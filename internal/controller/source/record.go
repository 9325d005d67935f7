package source

import (
	"context"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/record"
)

// record keeps what an outcome is worth. It comes before the status is written: what cannot be kept is
// not acted upon, and news stays news until it is.
func (c *Controller[T, F]) record(ctx context.Context, before T, o Outcome[F]) error {
	for _, entry := range c.kind.entries(before, o, c.Now()) {
		if err := c.Record.Record(ctx, entry); err != nil {
			return err
		}
	}
	return nil
}

// recordSettings keeps that a spec is another one: its digest, never its content. An object whose
// status never says which generation it is of is told once a start.
func (c *Controller[T, F]) recordSettings(ctx context.Context, object T, known *memory) error {
	generation := object.GetGeneration()
	if generation == *c.kind.Parts(object).ObservedGeneration || generation == known.configured {
		return nil
	}
	entry, err := c.kind.configured(object, c.Now())
	if err != nil {
		return err
	}
	if err := c.Record.Record(ctx, entry); err != nil {
		return err
	}
	known.configured = generation
	return nil
}

func (k Kind[T, F]) configured(object T, now time.Time) (record.Entry, error) {
	parts := k.Parts(object)
	entry, err := record.Settings(k.about(object, record.Configured, now).Subject, object.GetGeneration(), parts.Spec, now)
	if parts.Suspended {
		entry.Reason = meta.SuspendedReason
	}
	return entry, err
}

// entries lists what is new in an outcome. What repeats itself is no news: a failure is told when its
// text changes.
func (k Kind[T, F]) entries(before T, o Outcome[F], now time.Time) []record.Entry {
	parts := k.Parts(before)
	if o.Err != nil {
		ready := Condition(*parts.Conditions, meta.ReadyCondition)
		news := ready.Reason != o.reason() || ready.Message != o.Err.Error()
		if !news || fault.KindOf(o.Err) == fault.Waiting {
			return nil
		}
		kind := record.SourceFailed
		if o.Condition == sourcev1.SourceVerifiedCondition {
			kind = record.RevisionRejected
		}
		entry := k.about(before, kind, now)
		entry.Revision.Name = o.Revision.Name
		entry.Reason, entry.Message = o.reason(), o.Err.Error()
		return []record.Entry{entry}
	}
	var entries []record.Entry
	if hadFailed(*parts.Conditions) {
		entry := k.about(before, record.SourceRecovered, now)
		entry.Revision.Name, entry.Message = o.Artifact.Revision, "The source can be read again"
		entries = append(entries, entry)
	}
	if had := *parts.Artifact; !had.HasDigest(o.Artifact.Digest) || !had.HasRevision(o.Artifact.Revision) {
		entries = append(entries, k.seen(before, o, now))
	}
	return entries
}

// seen tells of a new artifact, and of whom it is.
func (k Kind[T, F]) seen(before T, o Outcome[F], now time.Time) record.Entry {
	entry := k.about(before, record.RevisionSeen, now)
	entry.Revision = o.Revision
	entry.Revision.Name = o.Artifact.Revision
	if author := o.Revision.Author; author != "" {
		entry.Actor = record.Actor{Type: record.Author, Name: author}
	}
	entry.Fingerprint = o.Artifact.Digest
	entry.Message = "There is a new artifact"
	if !o.Made.IsZero() {
		entry.Details = map[string]string{"committed": o.Made.UTC().Format(time.RFC3339)}
	}
	return entry
}

func (k Kind[T, F]) about(object T, kind record.Kind, now time.Time) record.Entry {
	return record.Entry{
		At: now, Kind: kind, Actor: record.Actor{Type: record.Ourselves},
		Subject: record.Subject{Kind: k.Name, Namespace: object.GetNamespace(), Name: object.GetName()},
	}
}
