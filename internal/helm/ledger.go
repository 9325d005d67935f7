package helm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	helmcommon "helm.sh/helm/v4/pkg/release/common"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"

	"holdfast.dev/holdfast/internal/helm/storage"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/stage/render/chart"
)

// The actions, in Helm's words.
const (
	ActionInstall  = "install"
	ActionUpgrade  = "upgrade"
	ActionRollback = "rollback"
)

// Book is what is remembered of a release's records between passes. Losing it costs a few reads.
type Book struct {
	open      *helmrelease.Release // the record of the act that is under way
	snapshots []Snapshot           // newest first
}

// Snapshot is what the status tells of one record, and by which action it came to be.
type Snapshot struct {
	storage.Snapshot
	Action string
}

// Snapshots returns what was written since the program started, newest first.
func (b *Book) Snapshots() []Snapshot { return b.snapshots }

// note keeps what was just written.
func (b *Book) note(record *helmrelease.Release, action, ociDigest string) {
	seen, err := storage.Observe(record, ociDigest)
	if err != nil {
		return // it was encoded a moment ago
	}
	at := slices.IndexFunc(b.snapshots, func(one Snapshot) bool { return one.Version <= seen.Version && one.Name == seen.Name })
	one := Snapshot{seen, action}
	switch {
	case at < 0:
		b.snapshots = append(b.snapshots, one)
	case b.snapshots[at].Version == seen.Version:
		b.snapshots[at] = one
	default:
		b.snapshots = slices.Insert(b.snapshots, at, one)
	}
	if status := helmcommon.Status(seen.Status); status == helmcommon.StatusDeployed {
		for i := range b.snapshots {
			if old := &b.snapshots[i]; old.Version < seen.Version && old.Status == helmcommon.StatusDeployed.String() {
				old.Status = helmcommon.StatusSuperseded.String()
			}
		}
	}
	b.snapshots = b.snapshots[:min(len(b.snapshots), 10)]
}

// look lists the records, once a pass.
func (d *Delivery) look(ctx context.Context) error {
	if d.looked {
		return nil
	}
	heads, err := d.Storage.Heads(ctx, d.Input.Name)
	if err != nil {
		return err
	}
	d.heads, d.looked = heads, true
	return nil
}

// Heads returns the records of the release without their content, newest first.
func (d *Delivery) Heads(ctx context.Context) ([]storage.Head, error) {
	err := d.look(ctx)
	return d.heads, err
}

// next is the version of the next record.
func (d *Delivery) next() int {
	if len(d.heads) == 0 {
		return 1
	}
	return d.heads[0].Version + 1
}

// upgrades tells whether there is a release already.
func (d *Delivery) upgrades() bool {
	return len(d.heads) > 0 && d.heads[0].Status != helmcommon.StatusUninstalled && d.heads[0].Status != helmcommon.StatusUninstalling
}

// Open implements pipeline.Ledger.
func (d *Delivery) Open(ctx context.Context, act pipeline.Act) (release.Filing, error) {
	d.looked = false // nobody may have come in between
	if err := d.look(ctx); err != nil {
		return release.Filing{}, err
	}
	now := time.Now()
	if err := d.unlock(ctx, now); err != nil {
		return release.Filing{}, err
	}
	record, action, err := d.record(ctx, act, now)
	if err != nil {
		return release.Filing{}, err
	}
	if err := d.Storage.Create(ctx, record); err != nil {
		d.looked = false
		return release.Filing{}, err
	}
	d.heads = slices.Insert(slices.Clone(d.heads), 0, storage.Head{Version: record.Version, Status: record.Info.Status})
	d.Book.open = record
	d.Book.note(record, action, d.OCIDigest)
	return release.Filing{Revision: record.Version, Action: action}, nil
}

// unlock marks records failed that somebody left pending. Nobody is at work on them: what we do is done
// by one pass at a time, and what another helm does now is lost to us anyway.
func (d *Delivery) unlock(ctx context.Context, now time.Time) error {
	for i, head := range d.heads {
		if !head.Status.IsPending() {
			continue
		}
		record, err := d.Storage.Get(ctx, d.Input.Name, head.Version)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err == nil {
			err = d.Storage.Unlock(ctx, record, now)
		}
		if err != nil {
			return err
		}
		d.heads[i].Status = helmcommon.StatusFailed
		d.Book.note(record, "", d.OCIDigest)
	}
	return nil
}

// record makes the record of an act.
func (d *Delivery) record(ctx context.Context, act pipeline.Act, now time.Time) (*helmrelease.Release, string, error) {
	pending := chart.Pending{Revision: d.next(), Now: now, First: d.firstDeployed(ctx)}
	switch {
	case act.Target.Number != 0:
		return d.copied(ctx, act.Target.Filed.Revision, now, helmcommon.StatusPendingRollback, ActionRollback)
	case act.Like.Number != 0:
		return d.copied(ctx, act.Like.Filed.Revision, now, helmcommon.StatusPendingUpgrade, ActionUpgrade)
	case d.out == nil:
		return nil, "", errors.New("the release was not rendered")
	case d.upgrades():
		pending.Status, pending.Description = helmcommon.StatusPendingUpgrade, "Preparing upgrade"
		return d.out.Record(pending), ActionUpgrade, nil
	default:
		pending.Status, pending.Description = helmcommon.StatusPendingInstall, "Initial install underway"
		return d.out.Record(pending), ActionInstall, nil
	}
}

// firstDeployed is when the release was first deployed; zero where it was not.
func (d *Delivery) firstDeployed(ctx context.Context) time.Time {
	if !d.upgrades() {
		return time.Time{}
	}
	for _, one := range d.Book.snapshots {
		if one.Name == d.Input.Name {
			return one.FirstDeployed
		}
	}
	if record, err := d.Storage.Get(ctx, d.Input.Name, d.heads[0].Version); err == nil && record.Info != nil {
		return record.Info.FirstDeployed
	}
	return time.Time{}
}

// copied makes a record with the content of an older one, or, where that is kept no more, of the newest that
// was deployed: that has the same content, as it is what was gone back to.
func (d *Delivery) copied(ctx context.Context, version int, now time.Time, status helmcommon.Status, action string) (*helmrelease.Release, string, error) {
	old, err := d.Storage.Get(ctx, d.Input.Name, version)
	if errors.Is(err, storage.ErrNotFound) {
		at := slices.IndexFunc(d.heads, func(head storage.Head) bool { return head.Status == helmcommon.StatusDeployed })
		if at < 0 {
			return nil, "", err
		}
		old, err = d.Storage.Get(ctx, d.Input.Name, d.heads[at].Version)
	}
	if err != nil {
		return nil, "", err
	}
	record := *old
	record.Version = d.next()
	info := *old.Info
	info.LastDeployed, info.Status, info.Description = now, status, fmt.Sprintf("Rollback to %d", version)
	if action == ActionUpgrade {
		info.Description = "Preparing upgrade"
	}
	record.Info = &info
	record.Hooks = slices.Clone(old.Hooks)
	for i, hook := range record.Hooks {
		fresh := *hook
		fresh.LastRun = helmrelease.HookExecution{Phase: helmrelease.HookPhaseUnknown}
		record.Hooks[i] = &fresh
	}
	return &record, action, nil
}

// Close implements pipeline.Ledger.
func (d *Delivery) Close(ctx context.Context, filing release.Filing, end pipeline.End) error {
	record := d.Book.open
	if record == nil || record.Version != filing.Revision || record.Name != d.Input.Name {
		var err error
		record, err = d.Storage.Get(ctx, d.Input.Name, filing.Revision)
		if errors.Is(err, storage.ErrNotFound) {
			return nil // somebody has deleted it, and the next look will tell
		}
		if err != nil {
			return err
		}
	}
	if err := d.look(ctx); err != nil {
		return err
	}
	record.Info.Status, record.Info.Description = ended(record, filing, end)
	ran(record, end.Runs)
	if err := d.Storage.Update(ctx, record); err != nil {
		return err
	}
	d.Book.open = record
	d.Book.note(record, filing.Action, d.OCIDigest)
	if !end.Good {
		return nil
	}
	return d.settle(ctx, record)
}

// settle supersedes what was deployed before, and drops what is too old.
func (d *Delivery) settle(ctx context.Context, record *helmrelease.Release) error {
	before := slices.ContainsFunc(d.heads, func(head storage.Head) bool {
		return head.Version != record.Version && head.Status == helmcommon.StatusDeployed
	})
	if before {
		if err := d.Storage.Supersede(ctx, record.Name, record.Version); err != nil {
			return err
		}
		d.looked = false
	}
	if d.MaxHistory > 0 && len(d.heads) > d.MaxHistory {
		d.looked = false
		return d.Storage.Trim(ctx, record.Name, d.MaxHistory)
	}
	return nil
}

// ended says how a record tells of the end of an act.
func ended(record *helmrelease.Release, filing release.Filing, end pipeline.End) (helmcommon.Status, string) {
	switch {
	case !end.Good && filing.Action == ActionInstall:
		return helmcommon.StatusFailed, fmt.Sprintf("Release %q failed: %s", record.Name, end.Cause)
	case !end.Good && filing.Action == ActionRollback:
		return helmcommon.StatusFailed, fmt.Sprintf("Rollback %q failed: %s", record.Name, end.Cause)
	case !end.Good:
		return helmcommon.StatusFailed, fmt.Sprintf("Upgrade %q failed: %s", record.Name, end.Cause)
	case filing.Action == ActionInstall:
		return helmcommon.StatusDeployed, "Install complete"
	case filing.Action == ActionRollback:
		return helmcommon.StatusDeployed, record.Info.Description // "Rollback to 3"
	default:
		return helmcommon.StatusDeployed, "Upgrade complete"
	}
}

// ran writes into a record when its hooks ran, and how.
func ran(record *helmrelease.Release, runs []release.Run) {
	for _, run := range runs {
		for _, hook := range record.Hooks {
			if hook.Name != run.Ref.Name || hook.Kind != run.Ref.Kind {
				continue
			}
			hook.LastRun = helmrelease.HookExecution{StartedAt: run.Began, CompletedAt: run.Ended, Phase: phaseOf(run)}
		}
	}
}

func phaseOf(run release.Run) helmrelease.HookPhase {
	switch {
	case run.Failed:
		return helmrelease.HookPhaseFailed
	case run.Ended.IsZero():
		return helmrelease.HookPhaseRunning
	default:
		return helmrelease.HookPhaseSucceeded
	}
}

// Uninstalled writes that the release is gone: its records are deleted, or the newest says so.
func Uninstalled(ctx context.Context, records *storage.Storage, name string, keep bool) error {
	heads, err := records.Heads(ctx, name)
	if err != nil {
		return err
	}
	for i, head := range heads {
		if !keep {
			if err := records.Delete(ctx, name, head.Version); err != nil {
				return err
			}
			continue
		}
		if i > 0 || head.Status == helmcommon.StatusUninstalled {
			break
		}
		record, err := records.Get(ctx, name, head.Version)
		if err != nil {
			return err
		}
		record.Info.Deleted = time.Now()
		record.SetStatus(helmcommon.StatusUninstalled, "Uninstallation complete")
		if err := records.Update(ctx, record); err != nil {
			return err
		}
	}
	return nil
}
