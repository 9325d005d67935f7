package policy

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno"
	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// Judge implements check.Judge.
func (e *Engine) Judge(ctx context.Context, set check.Set) ([]finding.Finding, error) {
	everything := append(append([]object.Object(nil), set.Objects...), set.Others...)
	policies := e.collect(everything, e.options.Now())
	findings := policies.findings
	followed := e.options.Live != nil && set.Cluster != nil && e.options.Live.Of(set.Cluster)
	mutates := set.Cluster == nil // a command line shows what a cluster with Kyverno would do
	if followed {
		living, err := e.live(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading the policies of the cluster: %w", err)
		}
		policies, mutates = living.with(policies), e.options.Live.Mutates()
	}
	if policies.empty() {
		return findings, nil
	}
	r := &round{engine: e, policies: policies, set: set, followed: followed, mutates: mutates, reader: newReader(ctx, set, everything)}
	for _, one := range set.Objects {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if IsPolicy(one.Ref) {
			continue
		}
		found, err := r.judge(ctx, one)
		if err != nil {
			return nil, err
		}
		findings = append(findings, found...)
	}
	return findings, nil
}

// round is one set and the policies that judge it.
type round struct {
	engine   *Engine
	policies *collection
	set      check.Set
	followed bool
	mutates  bool
	reader   *reader
}

// judge returns what all policies say of an object.
func (r *round) judge(ctx context.Context, one object.Object) ([]finding.Finding, error) {
	decoded, err := one.Decode()
	if err != nil {
		return nil, err
	}
	request, err := r.request(ctx, one, decoded.Object)
	if err != nil {
		return nil, err
	}
	var findings []finding.Finding
	for _, result := range r.evaluate(ctx, request) {
		if found, worth := describe(one, result); worth {
			findings = append(findings, found)
		}
	}
	return findings, nil
}

// request asks for the object as the delivery would.
func (r *round) request(ctx context.Context, one object.Object, content map[string]any) (ruling.Request, error) {
	request := ruling.Request{Operation: "CREATE", Object: content}
	if r.set.Kinds != nil && r.set.Known(one.Ref) {
		if mapping, err := r.set.Kinds.Map(ctx, one.Ref); err == nil {
			request.Resource = mapping.Resource.Resource
		}
	}
	if one.Namespace == "" {
		return request, nil
	}
	if metadata, ok := content["metadata"].(map[string]any); ok {
		metadata["namespace"] = one.Namespace
	}
	where := r.namespace(one.Namespace)
	request.Namespace, request.NamespaceLabels, request.NamespaceUnknown = where.object, where.clone(), where.unknown
	return request, nil
}

// namespace finds a namespace: in the commit, or in the cluster. Without a cluster to look in, one that the
// commit does not bring is taken for one without labels of its own.
func (r *round) namespace(name string) namespace {
	if found, ok := r.reader.namespaces[name]; ok {
		return known(name, found)
	}
	if r.followed {
		if found, ok := r.engine.options.Live.Namespace(name); ok {
			return known(name, found)
		}
	}
	if r.set.Cluster == nil || r.followed {
		return known(name, nil) // it is not there yet
	}
	found, err := r.reader.Read("v1", "namespaces", "", name)
	if err != nil {
		return namespace{unknown: true}
	}
	return known(name, found)
}

// known adds the label that the server gives every namespace.
func known(name string, object map[string]any) namespace {
	labels := ruling.Texts(object, "metadata", "labels")
	labels["kubernetes.io/metadata.name"] = name
	return namespace{object: object, labels: labels}
}

// evaluate has all policies look: first those that change the object, so that the others see it as it will
// be admitted.
func (r *round) evaluate(ctx context.Context, request ruling.Request) []ruling.Result {
	p, results := r.policies, []ruling.Result(nil)
	world := kyverno.World{Reader: r.reader.forKyverno(), Exceptions: p.exceptions}
	keep := func(changed map[string]any, found ...ruling.Result) {
		request = request.With(changed)
		results = append(results, found...)
	}
	ignored := exempt(request)
	for _, policy := range p.mutating {
		for _, binding := range p.mutatingBindings {
			if binding.Spec.PolicyName != policy.Name() {
				continue
			}
			if changed, result, about := policy.Apply(ctx, binding, r.reader.params, request); about {
				keep(changed, result)
			}
		}
	}
	for _, policy := range p.kyverno {
		if r.mutates && !ignored {
			changed, found := r.engine.kyverno.Mutate(ctx, policy, world, request)
			keep(changed, found...)
		}
	}
	for _, policy := range p.cel {
		if !policy.Mutates() || !r.mutates || ignored {
			continue
		}
		if changed, result, about := policy.Evaluate(ctx, r.reader.forCEL(), p.celExceptions, request); about {
			keep(changed, result)
		}
	}
	return append(results, r.validate(ctx, world, request, ignored)...)
}

func (r *round) validate(ctx context.Context, world kyverno.World, request ruling.Request, ignored bool) []ruling.Result {
	var results []ruling.Result
	for _, policy := range r.policies.validating {
		for _, binding := range r.policies.bindings {
			if binding.Spec.PolicyName != policy.Name() {
				continue
			}
			if result, about := policy.Judge(ctx, binding, r.reader.params, request); about {
				results = append(results, result)
			}
		}
	}
	if ignored {
		return results
	}
	for _, policy := range r.policies.kyverno {
		results = append(results, r.engine.kyverno.Validate(ctx, policy, world, request)...)
	}
	for _, policy := range r.policies.cel {
		if policy.Mutates() {
			continue
		}
		if _, result, about := policy.Evaluate(ctx, r.reader.forCEL(), r.policies.celExceptions, request); about {
			results = append(results, result)
		}
	}
	return results
}

// exempt tells whether Kyverno leaves an object alone, as it is installed: a cluster must be able to repair
// itself.
func exempt(request ruling.Request) bool {
	where := ruling.Text(request.Subject(), "metadata", "namespace")
	if ruling.Text(request.Subject(), "kind") == "Namespace" {
		return false
	}
	return where == "kube-system" || where == "kube-public" || where == "kube-node-lease"
}

var _ check.Versioned = (*Engine)(nil)

// at finds where a pattern failed in a message.
var at = regexp.MustCompile(`at path (/[^\s,;]*)`)

// describe makes a finding of a result that people should know of.
func describe(one object.Object, result ruling.Result) (finding.Finding, bool) {
	name := result.Policy
	if result.Rule != "" {
		name += "/" + result.Rule
	}
	found := finding.Finding{Rule: "policy/" + name, Ref: one.Ref, Severity: finding.Warning, Message: result.Message}
	switch {
	case result.Status == ruling.Skip && len(result.Exceptions) > 0:
		found.Severity = finding.Info
		found.Message = "the policy is waived" + waivers(result.Exceptions)
		return found, true
	case result.Status != ruling.Fail && result.Status != ruling.Error:
		return found, false
	case result.Blocks():
		found.Severity = finding.Error
		found.Advice = "change the object, or have an exception granted"
	}
	if step := at.FindStringSubmatch(result.Message); step != nil {
		found.Path = fieldPath(step[1])
	}
	if one.Kind == "Secret" && one.Group == "" {
		found.Message = "the policy does not allow it" // its words may quote what the Secret holds
	} else if result.Status == ruling.Error {
		found.Message = "the policy cannot be evaluated: " + result.Message
	}
	return found, true
}

func waivers(exceptions []ruling.Exception) string {
	var all []string
	for _, one := range exceptions {
		text := " by " + one.Name
		if one.Owner != "" {
			text += ", which " + one.Owner + " answers for"
		}
		if one.Expires != "" {
			text += ", until " + one.Expires
		}
		all = append(all, text)
	}
	return strings.Join(all, ";")
}

// fieldPath writes /spec/containers/0/image/ as spec.containers[0].image.
func fieldPath(pointer string) string {
	var text strings.Builder
	for _, step := range strings.Split(strings.Trim(pointer, "/"), "/") {
		switch {
		case step != "" && strings.Trim(step, "0123456789") == "":
			text.WriteString("[" + step + "]")
		case text.Len() > 0:
			text.WriteString("." + step)
		default:
			text.WriteString(step)
		}
	}
	return text.String()
}
