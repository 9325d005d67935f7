package apply

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check"
)

// DefaultManager is the field manager of Flux's kustomize-controller. Keeping its name lets us take
// over from a running Flux, and hand back to it, without a change of ownership (flux-contract 8.1).
const DefaultManager = "kustomize-controller"

// Live is what is known of an object in the cluster without asking for it.
type Live struct {
	Known    bool // false: nobody has looked yet, and nothing below means anything
	Exists   bool
	Drifted  bool // a field that we own was changed or removed by somebody else
	Deleting bool
	Ready    bool // healthy in the sense of kstatus
	UID      types.UID
	Owner    object.Owner
	Rules    object.Rules
}

// view knows live objects from watches, and is told what our own writes made of them.
type view interface {
	Live(ref object.Ref) Live
	Saw(answer *unstructured.Unstructured)
	// Confirm tells whether a dry-run's answer is what the live object is already, and if so takes
	// the live object's state as the one to hold from now on.
	Confirm(answer *unstructured.Unstructured) bool
	Removed(ref object.Ref, uid types.UID)
}

// Memory holds the digest of what was last applied of each object, by Ref.Key. It belongs to one
// unit, and to one Apply at a time.
type Memory map[object.Ref]object.Digest

// Options are the same for all units. The zero value is usable.
type Options struct {
	Manager string          // field manager; empty means DefaultManager
	Family  object.Family   // the kind of the units
	Custom  map[string]bool // "group/Kind" pairs that form a stage of their own before the rest
	// TakeOver names further field managers whose fields become ours, beside kubectl's.
	TakeOver []string
}

// Applier applies and prunes. It is safe for concurrent use.
type Applier struct {
	options   Options
	takeovers []takeover
}

// New makes an Applier.
func New(options Options) *Applier {
	if options.Manager == "" {
		options.Manager = DefaultManager
	}
	return &Applier{options: options, takeovers: takeovers(options)}
}

// Manager returns the field manager that writes are made as.
func (a *Applier) Manager() string { return a.options.Manager }

// Request asks for a set of objects to be applied.
type Request struct {
	Cluster *kube.Cluster // under the identity that may write
	Set     check.Passed
	Memory  Memory
	View    view
	Owner   object.Owner // the unit; an object that carries another one's labels is not settled
	Force   bool         // recreate objects whose immutable fields change
	Ignore  []Ignore     // fields that others may set
	// Hold names objects, by Ref.Key, whose drift is not corrected this time: somebody keeps undoing
	// the correction.
	Hold map[object.Ref]bool
	// Verify asks the server about every object, whatever the memory and the view say.
	Verify bool
	// Intend is called once before the first write, with every object that the set wants to exist,
	// so that the inventory names them before they do. An error stops the apply.
	Intend func(ctx context.Context, wanted []object.Ref) error
}

// Result is what was done.
type Result struct {
	// Changes has one entry for each object that was reached, in order of writing.
	Changes object.Changes
	// Waiting names objects that must become ready before the rest of the set can be tried.
	// It is not an error: call Apply again when they are.
	Waiting []object.Ref
}

// run is one Apply under way.
type run struct {
	*Applier
	Request
	intended bool
	changes  object.Changes
	manner   kube.DeleteOptions
}

// Apply makes the cluster agree with the set, stage by stage. The Result is complete even if err
// is not nil. The error names every object that was refused, sorted.
func (a *Applier) Apply(ctx context.Context, request Request) (Result, error) {
	r := &run{Applier: a, Request: request}
	for _, stage := range stages(request.Set.Objects(), a.options.Custom) {
		if err := r.stage(ctx, stage); err != nil {
			return Result{Changes: r.changes}, err
		}
		if waiting := r.unready(stage); len(waiting) > 0 {
			return Result{Changes: r.changes, Waiting: waiting}, nil
		}
	}
	return Result{Changes: r.changes}, nil
}

// stages cuts a sorted set into the stages that have to be in place one after another.
func stages(objects []object.Object, custom map[string]bool) [][]object.Object {
	cut := make([][]object.Object, object.Rest+1)
	for _, wanted := range objects {
		stage := object.StageOf(wanted.Ref, custom)
		cut[stage] = append(cut[stage], wanted)
	}
	return slices.DeleteFunc(cut, func(stage []object.Object) bool { return len(stage) == 0 })
}

// stage judges what needs work in one stage, and then writes it.
func (r *run) stage(ctx context.Context, objects []object.Object) error {
	plans := make([]plan, len(objects))
	for i, wanted := range objects {
		plans[i] = r.plan(wanted)
	}
	err := r.judge(ctx, plans)
	if err == nil {
		err = r.write(ctx, plans)
	}
	r.remember(plans)
	for _, plan := range plans {
		if plan.action != "" {
			r.changes = append(r.changes, object.Change{Ref: plan.wanted.Ref, Action: plan.action, Source: plan.wanted.Source})
		}
	}
	return err
}

// unready returns the definitions of a stage that others in the set cannot do without yet: only
// a CustomResourceDefinition that the server has not established stops the stages after it.
func (r *run) unready(stage []object.Object) []object.Ref {
	var waiting []object.Ref
	for _, wanted := range stage {
		if wanted.Kind != "CustomResourceDefinition" || wanted.Rules.Skipped() {
			continue
		}
		if wanted.Rules.IfNotPresent && r.present(wanted.Ref) {
			continue // it is somebody else's, and has been there
		}
		if live := r.View.Live(wanted.Ref); !live.Ready {
			waiting = append(waiting, wanted.Ref)
		}
	}
	return waiting
}

// present tells whether an object that is to be created only was there already.
func (r *run) present(ref object.Ref) bool {
	return slices.ContainsFunc(r.changes, func(change object.Change) bool {
		return change.Ref.Key() == ref.Key() && change.Action == object.Skipped
	})
}
