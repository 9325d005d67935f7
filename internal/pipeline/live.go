package pipeline

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// liveView shows the apply stage what the observe stage knows: stages do not know each other.
type liveView struct {
	observer *observe.Observer
	manager  string // the field manager that we write as
}

func (v liveView) Live(ref object.Ref) apply.Live {
	state := v.observer.State(ref)
	return apply.Live{
		Known: state.Known, Exists: state.Exists, Drifted: state.Drifted, Deleting: state.Deleting,
		Ready: state.Health.Status == observe.Current,
		UID:   state.UID, Owner: state.Owner, Rules: state.Rules,
	}
}

func (v liveView) Saw(answer *unstructured.Unstructured) { v.observer.Saw(answer) }

func (v liveView) Confirm(answer *unstructured.Unstructured) bool { return v.observer.Confirm(answer) }

func (v liveView) Removed(ref object.Ref, uid types.UID) { v.observer.Removed(ref, uid) }
