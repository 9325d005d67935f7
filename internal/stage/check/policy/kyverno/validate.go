package kyverno

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	"github.com/kyverno/kyverno/pkg/engine/validate"

	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/match"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/podsecurity"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/rule"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/variable"
	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// evaluation is one policy for one request.
type evaluation struct {
	engine  *Engine
	policy  *Policy
	world   World
	request ruling.Request
	ctx     context.Context //nolint:containedctx // it lives as long as one call
}

// verdict is what a rule or a part of it comes to. Its zero value says that it says nothing.
type verdict struct {
	status ruling.Status
	text   string
}

// Validate returns what the validating rules of a policy come to. A rule that is not about the request has
// no result.
func (e *Engine) Validate(ctx context.Context, p *Policy, world World, request ruling.Request) []ruling.Result {
	if !p.applies(request) {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, variable.Deadline, fmt.Errorf("the policy takes longer than %s", variable.Deadline))
	defer cancel()
	ev := evaluation{engine: e, policy: p, world: world, request: request, ctx: ctx}
	rules, err := e.rules(p, ruling.Text(request.Subject(), "kind"))
	if err != nil {
		failed := p.result(rule.Rule{}, request)
		failed.Status, failed.Message = ruling.Error, err.Error()
		return []ruling.Result{failed}
	}
	if about, err := e.conditions(ctx, p, request); err != nil || !about {
		if err == nil {
			return nil
		}
		failed := p.result(rule.Rule{}, request)
		failed.Status, failed.Message = ruling.Error, err.Error()
		return []ruling.Result{failed}
	}
	var results []ruling.Result
	for _, one := range rules {
		if one.Validate == nil || one.Validate.Manifests != nil || one.Validate.Assert != nil {
			continue
		}
		if result, about := ev.one(one, ev.judge); about {
			results = append(results, result)
			if p.Spec.ApplyRules == "One" && (result.Status == ruling.Pass || result.Status == ruling.Fail) {
				break
			}
		}
	}
	return results
}

// one takes a rule through what all rules have in common: whether it is about the request, its context, its
// preconditions, the exceptions from it. A panic of a library that a rule provokes is a failed evaluation.
func (ev evaluation) one(one *prepared, run func(*prepared, *variable.Scope, *ruling.Result) verdict) (result ruling.Result, about bool) {
	result = ev.policy.result(one.Rule, ev.request)
	defer func() {
		if trouble := recover(); trouble != nil {
			result.Status, result.Message, about = ruling.Error, fmt.Sprintf("evaluating the rule: %v", trouble), true
		}
	}()
	about, err := match.Rule(one.Match, one.Exclude, ev.request)
	if err != nil {
		result.Status, result.Message = ruling.Error, err.Error()
		return result, true
	}
	if !about {
		return result, false
	}
	scope := ev.scope()
	ev.declare(scope, one.Context, one.Name)
	holds, text, err := one.Preconditions.Hold(scope)
	if err != nil || !holds {
		result.Status, result.Message = ruling.Skip, strings.TrimSuffix("preconditions not met; "+text, "; ")
		if err != nil {
			result.Status, result.Message = ruling.Error, "evaluating preconditions: "+err.Error()
		}
		return result, true
	}
	if ev.excepted(one, scope, &result) {
		return result, true
	}
	outcome := run(one, scope, &result)
	result.Status, result.Message = outcome.status, outcome.text
	return result, outcome.status != ""
}

// judge decides a validating rule.
func (ev evaluation) judge(one *prepared, scope *variable.Scope, result *ruling.Result) verdict {
	outcome := ev.decide(one, scope, result)
	existing := one.Validate.AllowExisting == nil || *one.Validate.AllowExisting
	if outcome.status != ruling.Fail || result.Action != ruling.Enforce || ev.request.Operation != "UPDATE" || ev.request.Old == nil || !existing {
		return outcome
	}
	before := ev
	before.request.Operation, before.request.Object, before.request.Old = "CREATE", ev.request.Old, nil
	prior, about := before.one(one, before.decide)
	if about && prior.Status == ruling.Fail {
		return verdict{ruling.Skip, "the object violated the rule before, which the rule allows"}
	}
	return outcome
}

func (ev evaluation) decide(one *prepared, scope *variable.Scope, result *ruling.Result) verdict {
	v := one.Validate
	switch {
	case v.PodSecurity != nil:
		return ev.podSecurity(one, result)
	case v.CEL != nil:
		return ev.expressions(one)
	case len(v.Foreach) > 0:
		return ev.foreach(one, v.Foreach, scope, 0)
	default:
		return ev.check(one, v.Check, scope, nil)
	}
}

// check decides patterns and conditions for the object, or for an element of it.
func (ev evaluation) check(one *prepared, check rule.Check, scope *variable.Scope, element map[string]any) verdict {
	subject := element
	if subject == nil {
		subject = ev.request.Object
	}
	switch {
	case check.Deny != nil:
		return ev.deny(one, check.Deny, scope)
	case subject == nil:
		return verdict{}
	case check.Pattern != nil:
		pattern, err := scope.Substitute(check.Pattern)
		if err != nil {
			return verdict{ruling.Error, err.Error()}
		}
		return ev.pattern(one, scope, subject, pattern)
	case len(check.AnyPattern) > 0:
		patterns, err := scope.Substitute(check.AnyPattern)
		if err != nil {
			return verdict{ruling.Error, err.Error()}
		}
		return ev.anyPattern(one, scope, subject, patterns.([]any))
	default:
		return verdict{ruling.Error, "the rule has no pattern, no conditions and no expressions"}
	}
}

func (ev evaluation) deny(one *prepared, deny *rule.Deny, scope *variable.Scope) verdict {
	holds, text, err := deny.Conditions.Hold(scope)
	switch {
	case err != nil:
		return verdict{ruling.Error, "evaluating deny conditions: " + err.Error()}
	case !holds:
		return verdict{ruling.Pass, fmt.Sprintf("validation rule '%s' passed.", one.Name)}
	}
	message := strings.Trim(one.Validate.Message+"; "+text, "; ")
	if message == "" {
		return verdict{ruling.Fail, fmt.Sprintf("validation error: rule %s failed", one.Name)}
	}
	if written, err := scope.Text(message); err == nil {
		message = written
	}
	return verdict{ruling.Fail, message}
}

func (ev evaluation) pattern(one *prepared, scope *variable.Scope, subject, pattern any) verdict {
	err := validate.MatchPattern(logr.Discard(), subject, pattern)
	var trouble *validate.PatternError
	switch {
	case err == nil:
		return verdict{ruling.Pass, fmt.Sprintf("validation rule '%s' passed.", one.Name)}
	case !errors.As(err, &trouble) || trouble.Path == "" && !trouble.Skip:
		return verdict{ruling.Error, ev.message(one, scope, fmt.Sprintf("rule %s execution error: %v", one.Name, err))}
	case trouble.Skip:
		return verdict{ruling.Skip, err.Error()}
	default:
		return verdict{ruling.Fail, ev.message(one, scope, fmt.Sprintf("rule %s failed at path %s", one.Name, trouble.Path))}
	}
}

func (ev evaluation) anyPattern(one *prepared, scope *variable.Scope, subject any, patterns []any) verdict {
	var failed, skipped []string
	for i, pattern := range patterns {
		err := validate.MatchPattern(logr.Discard(), subject, pattern)
		var trouble *validate.PatternError
		switch {
		case err == nil:
			return verdict{ruling.Pass, fmt.Sprintf("validation rule '%s' anyPattern[%d] passed.", one.Name, i)}
		case errors.As(err, &trouble) && trouble.Skip:
			skipped = append(skipped, fmt.Sprintf("rule %s[%d] skipped: %v", one.Name, i, err))
		case errors.As(err, &trouble) && trouble.Path != "":
			failed = append(failed, fmt.Sprintf("rule %s[%d] failed at path %s", one.Name, i, trouble.Path))
		default:
			failed = append(failed, fmt.Sprintf("rule %s[%d] failed: %v", one.Name, i, err))
		}
	}
	if len(failed) == 0 {
		return verdict{ruling.Skip, strings.Join(skipped, " ")}
	}
	return verdict{ruling.Fail, ev.message(one, scope, strings.Join(failed, " "))}
}

// message writes why a rule failed, with the words of its author first.
func (ev evaluation) message(one *prepared, scope *variable.Scope, why string) string {
	if one.Validate.Message == "" {
		return "validation error: " + why
	}
	message, err := scope.Text(one.Validate.Message)
	if err != nil {
		return "validation error: " + why
	}
	return "validation error: " + strings.TrimSuffix(message, ".") + ". " + why
}

// foreach decides for the elements of lists. The first that fails decides.
func (ev evaluation) foreach(one *prepared, each []rule.Foreach, scope *variable.Scope, depth int) verdict {
	applied := 0
	var trouble error
	for _, loop := range each {
		elements, err := list(scope, loop.List)
		if err != nil {
			if !strings.Contains(err.Error(), "Unknown key") {
				trouble = err
			}
			continue
		}
		for i, element := range elements {
			outcome := ev.element(one, loop, scope, item{element, i, depth})
			switch outcome.status {
			case "", ruling.Skip:
			case ruling.Pass:
				applied++
			default:
				return verdict{outcome.status, "validation failure: " + outcome.text}
			}
		}
	}
	switch {
	case applied > 0:
		return verdict{ruling.Pass, "rule passed"}
	case trouble != nil:
		return verdict{ruling.Error, "evaluating a list: " + trouble.Error()}
	default:
		return verdict{}
	}
}

// item is an element of a list that a rule goes through.
type item struct {
	value any
	index int
	depth int
}

// maxDepth bounds how deep lists may be nested in lists.
const maxDepth = 8

func (ev evaluation) element(one *prepared, loop rule.Foreach, outer *variable.Scope, element item) verdict {
	if element.value == nil {
		return verdict{}
	}
	if element.depth >= maxDepth {
		return verdict{ruling.Error, "foreach is nested too deeply"}
	}
	scope := inside(outer, element)
	ev.declare(scope, loop.Context, "")
	holds, _, err := loop.Preconditions.Hold(scope)
	if err != nil || !holds {
		return verdict{ruling.Skip, "preconditions not met"}
	}
	if len(loop.Foreach) > 0 && loop.Deny == nil && loop.Pattern == nil && len(loop.AnyPattern) == 0 {
		return ev.foreach(one, loop.Foreach, scope, element.depth+1)
	}
	subject, isMap := element.value.(map[string]any)
	if loop.ElementScope != nil {
		if *loop.ElementScope && !isMap {
			return verdict{ruling.Error, "elementScope is set, and the element is no object"}
		}
		if !*loop.ElementScope {
			subject = nil
		}
	}
	return ev.check(one, loop.Check, scope, subject)
}

// list returns the elements of a list; anything else is a list of one.
func list(scope *variable.Scope, query string) ([]any, error) {
	value, err := scope.Query(query)
	if err != nil {
		return nil, err
	}
	if elements, ok := value.([]any); ok {
		return elements, nil
	}
	return []any{value}, nil
}

// inside returns a scope in which an element has its names.
func inside(outer *variable.Scope, element item) *variable.Scope {
	scope := outer.Child()
	scope.Set(element.value, "element")
	scope.Set(int64(element.index), "elementIndex")
	scope.Set(element.value, fmt.Sprintf("element%d", element.depth))
	scope.Set(int64(element.index), fmt.Sprintf("elementIndex%d", element.depth))
	return scope
}

func (ev evaluation) podSecurity(one *prepared, result *ruling.Result) verdict {
	standard := *one.Validate.PodSecurity
	if ev.request.Object == nil {
		return verdict{}
	}
	forbidden, err := podsecurity.Judge(ev.request.Object, standard)
	if err != nil {
		return verdict{ruling.Error, err.Error()}
	}
	if len(forbidden) == 0 {
		return verdict{ruling.Pass, fmt.Sprintf("Validation rule '%s' passed.", one.Name)}
	}
	// Each exception has to suffice by itself: two that each allow a part must not allow the whole.
	for _, exception := range ev.exceptions(one) {
		exempt := standard
		exempt.Exclude = append(append([]podsecurity.Exclusion{}, standard.Exclude...), exception.Spec.PodSecurity...)
		if rest, err := podsecurity.Judge(ev.request.Object, exempt); err == nil && len(rest) == 0 {
			result.Exceptions = append(result.Exceptions, waiver(exception))
			return verdict{ruling.Skip, "an exception allows what the rule forbids: " + waiver(exception).Name}
		}
	}
	version := standard.Version
	if version == "" {
		version = "latest"
	}
	return verdict{ruling.Fail, ev.message(one, ev.scope(), fmt.Sprintf("it violates PodSecurity \"%s:%s\": %s", standard.Level, version, strings.Join(forbidden, ", ")))}
}
