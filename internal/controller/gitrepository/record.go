package gitrepository

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
func (c *Controller) record(ctx context.Context, before *sourcev1.GitRepository, o outcome) error {
	for _, entry := range entriesOf(before, o, c.Now()) {
		if err := c.Record.Record(ctx, entry); err != nil {
			return err
		}
	}
	return nil
}

// recordSettings keeps that a spec is another one: its digest, never its content. An object whose
// status never says which generation it is of is told once a start.
func (c *Controller) recordSettings(ctx context.Context, object *sourcev1.GitRepository, known *memory) error {
	if object.Generation == object.Status.ObservedGeneration || object.Generation == known.configured {
		return nil
	}
	entry, err := configured(object, c.Now())
	if err != nil {
		return err
	}
	if err := c.Record.Record(ctx, entry); err != nil {
		return err
	}
	known.configured = object.Generation
	return nil
}

func configured(object *sourcev1.GitRepository, now time.Time) (record.Entry, error) {
	entry, err := record.Settings(about(object, record.Configured, now).Subject, object.Generation, object.Spec, now)
	if object.Spec.Suspend {
		entry.Reason = meta.SuspendedReason
	}
	return entry, err
}

// entriesOf lists what is new in an outcome. What repeats itself is no news: a failure is told when its
// text changes.
func entriesOf(before *sourcev1.GitRepository, o outcome, now time.Time) []record.Entry {
	if o.err != nil {
		ready := find(before.Status.Conditions, meta.ReadyCondition)
		news := ready.Reason != reasonOf(o) || ready.Message != o.err.Error()
		if !news || fault.KindOf(o.err) == fault.Waiting {
			return nil
		}
		kind := record.SourceFailed
		if o.condition == sourcev1.SourceVerifiedCondition {
			kind = record.RevisionRejected
		}
		entry := about(before, kind, now)
		entry.Revision.Name = o.revision
		entry.Reason, entry.Message = reasonOf(o), o.err.Error()
		return []record.Entry{entry}
	}
	var entries []record.Entry
	if hadFailed(before) {
		entry := about(before, record.SourceRecovered, now)
		entry.Revision.Name, entry.Message = o.artifact.Revision, "The source can be read again"
		entries = append(entries, entry)
	}
	if !before.Status.Artifact.HasDigest(o.artifact.Digest) || !before.Status.Artifact.HasRevision(o.artifact.Revision) {
		entry := about(before, record.RevisionSeen, now)
		entry.Revision = record.Revision{Name: o.artifact.Revision, Author: o.commit.Author, Title: o.commit.Subject, Signature: o.signature}
		if o.commit.Author != "" {
			entry.Actor = record.Actor{Type: record.Author, Name: o.commit.Author}
		}
		entry.Fingerprint = o.artifact.Digest
		entry.Message = "There is a new artifact"
		if !o.commit.When.IsZero() {
			entry.Details = map[string]string{"committed": o.commit.When.UTC().Format(time.RFC3339)}
		}
		entries = append(entries, entry)
	}
	return entries
}

func about(object *sourcev1.GitRepository, kind record.Kind, now time.Time) record.Entry {
	return record.Entry{
		At: now, Kind: kind, Actor: record.Actor{Type: record.Ourselves},
		Subject: record.Subject{Kind: sourcev1.GitRepositoryKind, Namespace: object.Namespace, Name: object.Name},
	}
}
