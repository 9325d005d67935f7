package kyverno

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/kyverno/kyverno/ext/wildcard"
	"github.com/kyverno/kyverno/pkg/cel/compiler"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"holdfast.dev/holdfast/internal/stage/check/policy/admission"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/rule"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/variable"
	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// Reader reads a cluster as the one on whose behalf policies are evaluated, and as nobody else.
type Reader interface {
	// ConfigMap returns a ConfigMap as the API writes it.
	ConfigMap(ctx context.Context, namespace, name string) (map[string]any, error)
	// Get returns what the API answers to a GET of a path.
	Get(ctx context.Context, path string) (any, error)
}

// Engine evaluates policies. It is safe for concurrent use.
type Engine struct {
	language *variable.Language
	cel      *admission.Expressions
}

// NewEngine returns an engine.
func NewEngine() (*Engine, error) {
	expressions, err := admission.NewExpressions(compiler.OrValueCompatEnvOptions()...)
	return &Engine{language: variable.NewLanguage(), cel: expressions}, err
}

// World is what policies may know beyond the request.
type World struct {
	Reader     Reader // nil where there is no cluster
	Exceptions []rule.Exception
	// Values gives rules what they would have read from a cluster. It is for tests of policies.
	Values func(policy, rule string) map[string]any
}

// Policy is a policy that is ready to be evaluated. It is safe for concurrent use.
type Policy struct {
	rule.Policy
	mu     sync.Mutex
	byKind map[string][]*prepared
}

// prepared is a rule with what was compiled for it.
type prepared struct {
	rule.Rule
	cel *admission.Validator
	err error // of compiling it
}

// NewPolicy prepares a policy.
func NewPolicy(decoded rule.Policy) *Policy {
	return &Policy{Policy: decoded, byKind: map[string][]*prepared{}}
}

// rules returns the rules for a kind.
func (e *Engine) rules(p *Policy, kind string) ([]*prepared, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if found, ok := p.byKind[kind]; ok {
		return found, nil
	}
	rules, err := p.For(kind)
	if err != nil {
		return nil, err
	}
	found := make([]*prepared, len(rules))
	for i, one := range rules {
		found[i] = &prepared{Rule: one}
		if one.Validate != nil && one.Validate.CEL != nil {
			found[i].cel, found[i].err = e.compile(one)
		}
	}
	p.byKind[kind] = found
	return found, nil
}

// NotEvaluated names the rules that are not acted on, each with why.
func (p *Policy) NotEvaluated() []string {
	rules, err := p.For("")
	if err != nil {
		return []string{err.Error()}
	}
	var names []string
	add := func(one rule.Rule, why string) { names = append(names, fmt.Sprintf("rule %s: %s", one.Name, why)) }
	for _, one := range rules {
		switch {
		case one.Generate != nil:
			add(one, "generate rules are not acted on")
		case one.VerifyImages != nil:
			add(one, "verifyImages rules are not acted on: signatures are verified on sources")
		case one.Mutate != nil && one.Mutate.Targets != nil:
			add(one, "mutate rules with targets are not acted on")
		case one.Validate != nil && (one.Validate.Manifests != nil || one.Validate.Assert != nil):
			add(one, "validate.manifests and validate.assert are not known")
		case one.Validate == nil && one.Mutate == nil:
			add(one, "it neither validates nor mutates")
		}
		for _, entry := range one.Context {
			if entry.ImageRegistry != nil || entry.GlobalReference != nil {
				add(one, fmt.Sprintf("its context entry %s reads from outside the cluster", entry.Name))
			}
		}
	}
	return names
}

// applies tells whether a policy with a namespace is about the request at all.
func (p *Policy) applies(request ruling.Request) bool {
	return p.Namespace == "" || ruling.Text(request.Subject(), "metadata", "namespace") == p.Namespace
}

// action returns what follows from a failure of a rule.
func (p *Policy) action(one rule.Rule, request ruling.Request) ruling.Action {
	chosen, overrides := p.Spec.ValidationFailureAction, p.Spec.Overrides
	if one.Validate != nil && one.Validate.FailureAction != "" {
		chosen = one.Validate.FailureAction
	}
	if one.Validate != nil && len(one.Validate.Overrides) > 0 {
		overrides = one.Validate.Overrides
	}
	namespace := ruling.Text(request.Subject(), "metadata", "namespace")
	for _, override := range overrides {
		named := len(override.Namespaces) == 0 || slices.ContainsFunc(override.Namespaces, func(pattern string) bool { return wildcard.Match(pattern, namespace) })
		if named && selected(override.NamespaceSelector, request.NamespaceLabels) {
			chosen = override.Action
			break
		}
	}
	if rule.Enforces(chosen) {
		return ruling.Enforce
	}
	if p.Spec.EmitWarning {
		return ruling.Alert
	}
	return ruling.Audit
}

func selected(selector *meta.LabelSelector, has map[string]string) bool {
	if selector == nil {
		return true
	}
	parsed, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(labels.Set(has))
}

// result starts a result of a rule.
func (p *Policy) result(one rule.Rule, request ruling.Request) ruling.Result {
	return ruling.Result{
		Kind: p.Kind, Policy: p.Key(), Rule: one.Name, Status: ruling.Pass, Action: p.action(one, request),
		Severity: p.Annotations["policies.kyverno.io/severity"], Category: p.Annotations["policies.kyverno.io/category"],
	}
}

// Where the waivers say who answers for them and until when they hold.
const (
	OwnerKey   = "policies.holdfast.dev/owner"
	ExpiresKey = "policies.holdfast.dev/expires"
)

func waiver(one rule.Exception) ruling.Exception {
	return ruling.Exception{Name: strings.TrimPrefix(one.Namespace+"/"+one.Name, "/"), Owner: one.Annotations[OwnerKey], Expires: one.Annotations[ExpiresKey]}
}
