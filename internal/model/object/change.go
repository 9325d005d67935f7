package object

import (
	"slices"
	"strings"
)

// Action is what was done to an object. The words are those of Flux's events, which people parse.
type Action string

// The actions. Unchanged means that the cluster already had what was wanted.
const (
	Created    Action = "created"
	Configured Action = "configured"
	Unchanged  Action = "unchanged"
	Deleted    Action = "deleted"
	Skipped    Action = "skipped"
)

// Change is what was done to one object.
type Change struct {
	Ref    Ref
	Action Action
	// Source is the file that the object came from, where it is known.
	Source string
}

// Changes is what a step did, complete even when the step failed half-way.
type Changes []Change

// Made returns the changes that altered the cluster.
func (c Changes) Made() Changes {
	return slices.DeleteFunc(slices.Clone(c), func(change Change) bool {
		return change.Action == Unchanged || change.Action == Skipped
	})
}

// Refs returns the references of all changes, in order.
func (c Changes) Refs() []Ref {
	refs := make([]Ref, len(c))
	for i, change := range c {
		refs[i] = change.Ref
	}
	return refs
}

// String writes one line an object, "Kind/namespace/name action", as Flux's events do.
func (c Changes) String() string {
	lines := make([]string, len(c))
	for i, change := range c {
		lines[i] = change.Ref.String() + " " + string(change.Action)
	}
	return strings.Join(lines, "\n")
}
