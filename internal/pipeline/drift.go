package pipeline

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/model/difference"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/stage/check"
)

// announceDrift records, before anything is set back, which objects of a set others changed, in which
// fields, and who it was. It reads those objects, and no others.
func (p *pass) announceDrift(ctx context.Context, set check.Passed, hold map[object.Ref]bool) ([]record.Touched, error) {
	var found []record.Touched
	for _, wanted := range set.Objects() {
		if !hold[wanted.Key()] && p.unit.drifted(p.job.Unit, wanted, p.live) {
			found = append(found, p.difference(ctx, wanted))
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	if err := p.announce(ctx, p.driftEntry(record.DriftFound, found)); err != nil {
		return nil, fmt.Errorf("recording drift: %w", err)
	}
	return found, nil
}

// confirmDrift records which of the announced corrections were made.
func (p *pass) confirmDrift(ctx context.Context, drifts []record.Touched, changes object.Changes, failure error) {
	if len(drifts) == 0 {
		return
	}
	made := map[object.Ref]object.Action{}
	for _, change := range changes.Made() {
		made[change.Ref.Key()] = change.Action
	}
	var corrected []record.Touched
	for _, drift := range drifts {
		if action, done := made[drift.Ref.Key()]; done {
			drift.Action = action
			corrected = append(corrected, drift)
		}
	}
	if len(corrected) > 0 {
		p.note(ctx, p.driftEntry(record.DriftCorrected, corrected))
	}
	if failure != nil {
		entry := p.driftEntry(record.Failed, drifts)
		entry.Reason, entry.Message = "DriftNotCorrected", failure.Error()
		p.note(ctx, entry)
	}
}

// noteContests records which corrections are put off from now on.
func (p *pass) noteContests(ctx context.Context, out *Outcome) {
	if len(out.contested) == 0 {
		return
	}
	entry := p.entry(record.Contested)
	entry.Objects, entry.Message = out.contested, strings.Join(out.Contested, "; ")
	p.note(ctx, entry)
	out.contested = nil
}

func (p *pass) driftEntry(kind record.Kind, drifts []record.Touched) record.Entry {
	entry := p.entry(kind)
	entry.Objects = drifts
	if by := drifts[0].By; by != "" {
		entry.Actor = record.Actor{Type: record.Manager, Name: by}
	}
	for _, drift := range drifts {
		if drift.By != drifts[0].By {
			entry.Actor = record.Actor{Type: record.Manager} // several
		}
	}
	return entry
}

// difference tells what became of an object, in paths and never in values.
func (p *pass) difference(ctx context.Context, wanted object.Object) record.Touched {
	drift := record.Touched{Ref: wanted.Ref, Digest: fmt.Sprintf("sha256:%x", wanted.Digest), File: wanted.Source}
	if !p.live.Live(wanted.Ref).Exists {
		drift.Fields = []string{"(deleted)"}
		return drift
	}
	live, err := p.job.Site.Cluster.Get(ctx, wanted.Ref)
	if err != nil {
		return drift
	}
	drift.By = latestOther(live, p.live.manager)
	if wish, err := wanted.Decode(); err == nil {
		drift.Fields = difference.Wanted(wish.Object, live.Object, maxDifferences)
	}
	return drift
}

// latestOther names the field manager, beside us, that changed an object last.
func latestOther(live *unstructured.Unstructured, ours string) string {
	name, latest := "", metav1.Time{}
	for _, entry := range live.GetManagedFields() {
		if entry.Manager == ours || entry.Subresource != "" || entry.Time == nil {
			continue
		}
		if !entry.Time.Before(&latest) {
			name, latest = entry.Manager, *entry.Time
		}
	}
	return name
}

// maxDifferences bounds what is told of one object.
const maxDifferences = 20
