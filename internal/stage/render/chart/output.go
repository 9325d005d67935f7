package chart

import (
	"cmp"
	"slices"
	"time"

	helmchart "helm.sh/helm/v4/pkg/chart/v2"
	helmcommon "helm.sh/helm/v4/pkg/release/common"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
)

// Output is what a release is. Its slices and its chart are shared with later renders: the caller must not
// modify them.
type Output struct {
	// CRDs are the definitions in crds/, in the order of the chart. They are empty where the policy is Skip.
	CRDs []object.Object
	// Objects are what the release owns: normalised, labelled, with their namespace, sorted for writing.
	Objects []object.Object
	// Hooks are in the order in which the record has them.
	Hooks []Hook
	// Manifest and Notes are for people; the notes are without values of Secrets. What Helm's storage gets
	// is in the record.
	Manifest, Notes string
	// Fingerprint identifies CRDs, objects and hooks, "sha256:…".
	Fingerprint string
	// ConfigDigest is the digest of the values, as Flux writes it.
	ConfigDigest string
	// Warnings tell of what was left out.
	Warnings []string
	// LookedUp says that a template looked into the cluster.
	LookedUp bool
	// Cached says that nothing was rendered: the input is that of the last render.
	Cached bool
	// Revealed are the values to keep out of what is told of the objects.
	Revealed []redact.Text

	record *helmrelease.Release // without what only the moment knows
}

// Event is when a hook runs.
type Event = helmrelease.HookEvent

// The events of hooks.
const (
	PreInstall   = helmrelease.HookPreInstall
	PostInstall  = helmrelease.HookPostInstall
	PreUpgrade   = helmrelease.HookPreUpgrade
	PostUpgrade  = helmrelease.HookPostUpgrade
	PreRollback  = helmrelease.HookPreRollback
	PostRollback = helmrelease.HookPostRollback
	PreDelete    = helmrelease.HookPreDelete
	PostDelete   = helmrelease.HookPostDelete
	Test         = helmrelease.HookTest
)

// Hook is an object that exists for a moment of a release.
type Hook struct {
	Object object.Object
	Name   string
	Events []Event
	Weight int
	// Delete says when the object is deleted. Where the chart says nothing, it is before the hook runs again.
	Delete []helmrelease.HookDeletePolicy
	// Logs says when the output of its containers is worth keeping.
	Logs []helmrelease.HookOutputLogPolicy
	// Index is the hook's place in the record's Hooks, where its LastRun is kept.
	Index int
}

// At tells whether the hook runs at an event.
func (h Hook) At(event Event) bool { return slices.Contains(h.Events, event) }

// Deletes tells whether the hook's object is deleted at a moment.
func (h Hook) Deletes(when helmrelease.HookDeletePolicy) bool { return slices.Contains(h.Delete, when) }

// HooksAt returns the hooks of an event in the order in which they run: by weight, then by kind.
func (o Output) HooksAt(event Event) []Hook {
	var found []Hook
	for _, hook := range o.Hooks {
		if hook.At(event) {
			found = append(found, hook)
		}
	}
	slices.SortStableFunc(found, func(a, b Hook) int { return cmp.Compare(a.Weight, b.Weight) })
	return found
}

// Pending is what only the moment knows of a release.
type Pending struct {
	Status      helmcommon.Status
	Revision    int // 0 is the one that was rendered
	Description string
	// First is when the release was first deployed; zero is Now.
	First, Now time.Time
	// Labels are kept with the record.
	Labels map[string]string
	// ClientSide records that objects are not written by server-side apply.
	ClientSide bool
}

// Record returns a new record for Helm's storage, which the caller may change, but for its chart and config.
func (o Output) Record(moment Pending) *helmrelease.Release {
	record := *o.record
	record.Info = &helmrelease.Info{
		FirstDeployed: moment.First, LastDeployed: moment.Now,
		Status: moment.Status, Description: moment.Description, Notes: o.record.Info.Notes,
	}
	if moment.First.IsZero() {
		record.Info.FirstDeployed = moment.Now
	}
	if moment.Revision > 0 {
		record.Version = moment.Revision
	}
	record.ApplyMethod = string(helmrelease.ApplyMethodServerSideApply)
	if moment.ClientSide {
		record.ApplyMethod = string(helmrelease.ApplyMethodClientSideApply)
	}
	record.Labels = moment.Labels
	record.Hooks = make([]*helmrelease.Hook, len(o.record.Hooks))
	for i, hook := range o.record.Hooks {
		fresh := *hook
		fresh.LastRun = helmrelease.HookExecution{Phase: helmrelease.HookPhaseUnknown}
		record.Hooks[i] = &fresh
	}
	return &record
}

// Metadata returns what the chart says of itself. The caller must not modify it.
func (o Output) Metadata() *helmchart.Metadata { return o.record.Chart.Metadata }
