package pipeline

import (
	"context"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/record"
)

// entry begins an entry about the unit.
func (p *pass) entry(kind record.Kind) record.Entry {
	return record.Entry{
		At: p.Now(), Kind: kind,
		Subject: record.Subject{Kind: p.Kind, Namespace: p.job.Unit.Namespace, Name: p.job.Unit.Name, Cluster: p.job.Site.Cluster.Name()},
		Actor:   record.Actor{Type: record.Ourselves},
		Revision: record.Revision{
			Name: p.job.Label.Revision, Origin: p.job.Label.Origin, Author: p.job.Label.Author,
			Title: p.job.Label.Title, Signature: p.job.Signature,
		},
	}
}

// about begins an entry about a release, under the name that Git had for it.
func (p *pass) about(kind record.Kind, one release.Release) record.Entry {
	entry := p.entry(kind)
	entry.Release, entry.Fingerprint, entry.Reason = one.Number, one.Fingerprint, string(one.Trigger)
	entry.Revision.Name, entry.Revision.Origin = one.Label.Revision, one.Label.Origin
	entry.Revision.Author, entry.Revision.Title = one.Label.Author, one.Label.Title
	if entry.Revision.Name != p.job.Label.Revision {
		entry.Revision.Signature = ""
	}
	switch {
	case one.Request != nil && !one.Request.Automatic:
		entry.Actor = record.Actor{Type: record.Person, Name: one.Request.By, Claimed: !one.Request.Proven}
	case one.Label.Author != "" && kind == record.ReleaseBegun:
		entry.Actor = record.Actor{Type: record.Author, Name: one.Label.Author}
	}
	for _, stage := range one.Stages {
		entry.Stages = append(entry.Stages, record.Stage{Name: stage.Name, Took: stage.Took})
	}
	return entry
}

// requested makes the entry which says that a person asked for something.
func (p *pass) requested(reason string, one release.Release) record.Entry {
	entry := p.about(record.Requested, one)
	entry.Reason, entry.Message = reason, one.Request.Reason
	entry.Details = map[string]string{"token": one.Request.Token}
	return entry
}

// announce records an intent. What it announces must not follow when it cannot be recorded.
func (p *pass) announce(ctx context.Context, entry record.Entry) error {
	entry.Message = p.unit.hide(entry.Message)
	return p.Recorder.Record(ctx, entry)
}

// note records what has happened already. It happened whether or not that can be recorded; where it
// must be, the next intent is refused.
func (p *pass) note(ctx context.Context, entry record.Entry) { _ = p.announce(ctx, entry) }

// conclusion records what a release came to, before that is kept with it: a death between the two makes the
// record say it twice, and not never. While keeping it fails, it is said once.
func (p *pass) conclusion(ctx context.Context, entry record.Entry) {
	trial := p.unit.try(entry.Release)
	if trial.told[entry.Kind] {
		return
	}
	if trial.told == nil {
		trial.told = map[record.Kind]bool{}
	}
	trial.told[entry.Kind] = true
	p.note(ctx, entry)
}

// touched writes changes for the record.
func touched(changes object.Changes) []record.Touched {
	list := make([]record.Touched, len(changes))
	for i, change := range changes {
		list[i] = record.Touched{Ref: change.Ref, Action: change.Action, File: change.Source}
	}
	return list
}
