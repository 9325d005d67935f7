package kyverno

import (
	"bytes"
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"github.com/kyverno/kyverno/pkg/engine/mutate/patch"
	"k8s.io/apimachinery/pkg/util/json"

	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/rule"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/variable"
	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// Mutate returns the object as the changing rules of a policy leave it, and what each came to: pass where it
// changed something, skip where there was nothing to change.
func (e *Engine) Mutate(ctx context.Context, p *Policy, world World, request ruling.Request) (map[string]any, []ruling.Result) {
	if !p.applies(request) || request.Object == nil {
		return request.Object, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, variable.Deadline, fmt.Errorf("the policy takes longer than %s", variable.Deadline))
	defer cancel()
	rules, err := e.rules(p, ruling.Text(request.Object, "kind"))
	if err != nil {
		failed := p.result(rule.Rule{}, request)
		failed.Status, failed.Message = ruling.Error, err.Error()
		return request.Object, []ruling.Result{failed}
	}
	if about, err := e.conditions(ctx, p, request); err != nil || !about {
		return request.Object, nil // where they cannot be decided, Validate says so
	}
	ev := evaluation{engine: e, policy: p, world: world, request: request, ctx: ctx}
	var results []ruling.Result
	for _, one := range rules {
		if one.Rule.Mutate == nil || one.Rule.Mutate.Targets != nil {
			continue
		}
		changed := ev.request.Object
		result, about := ev.one(one, func(one *prepared, scope *variable.Scope, _ *ruling.Result) verdict {
			after, outcome := ev.change(one, scope)
			if outcome.status == ruling.Pass {
				changed = after
			}
			return outcome
		})
		if !about {
			continue
		}
		ev.request.Object = changed
		if p.Spec.FailurePolicy != "Ignore" && result.Status == ruling.Error {
			result.Action = ruling.Enforce
		}
		results = append(results, result)
		if p.Spec.ApplyRules == "One" && result.Status == ruling.Pass {
			break
		}
	}
	return ev.request.Object, results
}

func (ev evaluation) change(one *prepared, scope *variable.Scope) (map[string]any, verdict) {
	mutate := one.Rule.Mutate
	if len(mutate.Foreach) > 0 {
		after, count, err := ev.changeEach(mutate.Foreach, scope, ev.request.Object, 0)
		switch {
		case err != nil:
			return nil, verdict{ruling.Error, err.Error()}
		case count == 0:
			return nil, verdict{ruling.Skip, "no patches applied"}
		default:
			return after, verdict{ruling.Pass, fmt.Sprintf("%d elements processed", count)}
		}
	}
	after, changed, err := apply(scope, mutate.Patch, ev.request.Object)
	switch {
	case err != nil:
		return nil, verdict{ruling.Error, err.Error()}
	case !changed:
		return nil, verdict{ruling.Skip, "no patches applied"}
	default:
		return after, verdict{ruling.Pass, "mutated " + ruling.Text(after, "kind") + "/" + ruling.Name(after)}
	}
}

// changeEach applies patches once for each element of lists. count tells how many lists changed something.
func (ev evaluation) changeEach(each []rule.ForeachPatch, scope *variable.Scope, object map[string]any, depth int) (map[string]any, int, error) {
	if depth >= maxDepth {
		return nil, 0, fmt.Errorf("foreach is nested too deeply")
	}
	count := 0
	for _, loop := range each {
		elements, err := list(scope, loop.List)
		if err != nil {
			return nil, 0, fmt.Errorf("evaluating the list %s: %w", loop.List, err)
		}
		// A merge puts what it adds in front, so the last comes first unless the rule says otherwise.
		reverse := loop.StrategicMerge != nil && loop.Order == "" || loop.Order == "Descending"
		changed := false
		for i := range elements {
			index := i
			if reverse {
				index = len(elements) - 1 - i
			}
			after, did, err := ev.changeElement(loop, scope, object, item{elements[index], index, depth})
			if err != nil {
				return nil, 0, err
			}
			if did {
				object, changed = after, true
			}
		}
		if changed {
			count++
			scope.Set(object, "request", "object")
		}
	}
	return object, count, nil
}

func (ev evaluation) changeElement(loop rule.ForeachPatch, outer *variable.Scope, object map[string]any, element item) (map[string]any, bool, error) {
	if element.value == nil {
		return object, false, nil
	}
	scope := inside(outer, element)
	ev.declare(scope, loop.Context, "")
	holds, _, err := loop.Preconditions.Hold(scope)
	if err != nil {
		return nil, false, fmt.Errorf("evaluating preconditions of an element: %w", err)
	}
	if !holds {
		return object, false, nil
	}
	if len(loop.Foreach) > 0 {
		after, count, err := ev.changeEach(loop.Foreach, scope, object, element.depth+1)
		return after, count > 0, err
	}
	return apply(scope, loop.Patch, object)
}

// apply returns the object with a patch applied, and whether that changed it.
func apply(scope *variable.Scope, change rule.Patch, object map[string]any) (map[string]any, bool, error) {
	if err := context.Cause(scope.Context()); err != nil {
		return nil, false, err
	}
	var patcher patch.Patcher
	switch {
	case change.StrategicMerge != nil:
		merge, err := scope.Substitute(change.StrategicMerge)
		if err != nil {
			return nil, false, err
		}
		patcher = patch.NewPatchStrategicMerge(merge)
	case change.JSON6902 != "":
		patches, err := scope.Text(change.JSON6902)
		if err != nil {
			return nil, false, err
		}
		patcher = patch.NewPatchesJSON6902(patches)
	default:
		return nil, false, fmt.Errorf("the rule has no patch")
	}
	before, err := json.Marshal(object)
	if err != nil {
		return nil, false, fmt.Errorf("encoding the object: %w", err)
	}
	after, err := patcher.Patch(logr.Discard(), before)
	if err != nil {
		return nil, false, fmt.Errorf("applying a patch: %w", err)
	}
	var changed map[string]any
	if err := json.Unmarshal(after, &changed); err != nil {
		return nil, false, fmt.Errorf("reading the patched object: %w", err)
	}
	written, err := json.Marshal(changed)
	if err != nil {
		return nil, false, fmt.Errorf("encoding the patched object: %w", err)
	}
	return changed, !bytes.Equal(before, written), nil
}
