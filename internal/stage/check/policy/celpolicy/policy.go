package celpolicy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kyverno/api/api/policies.kyverno.io/v1beta1"
	mutations "github.com/kyverno/kyverno/pkg/cel/policies/mpol/autogen"
	validations "github.com/kyverno/kyverno/pkg/cel/policies/vpol/autogen"
	registration "k8s.io/api/admissionregistration/v1"

	"holdfast.dev/holdfast/internal/stage/check/policy/admission"
	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// deadline bounds how long a policy may take for one object.
const deadline = 2 * time.Second

// Policy is a policy that is ready to be evaluated. It is safe for concurrent use.
type Policy struct {
	Kind        string
	Namespace   string
	Name        string
	annotations map[string]string
	actions     []registration.ValidationAction
	failure     registration.FailurePolicyType
	library     *library
	reads       bool // it calls functions that read the cluster
	variants    []variant
	// NotEvaluated says why the policy is not acted on.
	NotEvaluated string
}

// variant is the policy as it is written, or as it is meant for pod controllers.
type variant struct {
	match     *registration.MatchResources
	validator *admission.Validator
	mutator   *admission.Mutator
	broken    error
}

// Decode reads a policy of any version and compiles it. A policy that cannot be compiled is returned all the
// same: what it matches fails.
func Decode(raw []byte) (*Policy, error) {
	var head struct {
		Kind string `json:"kind"`
		Spec struct {
			Evaluation struct {
				Mode           string `json:"mode"`
				MutateExisting *struct {
					Enabled bool `json:"enabled"`
				} `json:"mutateExisting"`
			} `json:"evaluation"`
			TargetMatchConstraints json.RawMessage `json:"targetMatchConstraints"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, fmt.Errorf("decoding a policy: %w", err)
	}
	p := &Policy{Kind: head.Kind, library: &library{}, reads: bytes.Contains(raw, []byte("resource."))}
	if mode := head.Spec.Evaluation.Mode; mode != "" && mode != "Kubernetes" {
		p.NotEvaluated = "it is for " + mode + ", not for objects"
	}
	if existing := head.Spec.Evaluation.MutateExisting; existing != nil && existing.Enabled || head.Spec.TargetMatchConstraints != nil {
		p.NotEvaluated = "it changes objects other than the one that is asked about"
	}
	for _, call := range []string{"image.GetMetadata(", "http.Get(", "http.Post(", "http.Client(", "globalContext.Get("} {
		if bytes.Contains(raw, []byte(call)) {
			p.NotEvaluated = "it calls " + strings.TrimSuffix(call, "(") + ", and policies have no network"
		}
	}
	switch head.Kind {
	case "ValidatingPolicy", "NamespacedValidatingPolicy":
		return p, p.validating(raw)
	case "MutatingPolicy", "NamespacedMutatingPolicy":
		return p, p.mutating(raw)
	default:
		return nil, fmt.Errorf("decoding a %s: policies of this kind are not known", head.Kind)
	}
}

func (p *Policy) validating(raw []byte) error {
	var written v1beta1.ValidatingPolicy
	if err := json.Unmarshal(raw, &written); err != nil {
		return fmt.Errorf("decoding a %s: %w", p.Kind, err)
	}
	p.Namespace, p.Name, p.annotations = written.Namespace, written.Name, written.Annotations
	p.actions, p.failure = written.Spec.ValidationAction, failure(written.Spec.FailurePolicy)
	expressions, err := admission.NewExpressions(p.library.options(p.Namespace)...)
	if err != nil {
		return err
	}
	specs := []v1beta1.ValidatingPolicySpec{written.Spec}
	generated, err := validations.Autogen(&written)
	if err != nil {
		return fmt.Errorf("decoding %s %s: %w", p.Kind, p.Name, err)
	}
	for _, name := range slices.Sorted(maps.Keys(generated)) {
		specs = append(specs, *generated[name].Spec)
	}
	for _, spec := range specs {
		one := variant{match: spec.MatchConstraints}
		one.validator, one.broken = expressions.Compile(p.Name, registration.ValidatingAdmissionPolicySpec{
			MatchConditions: spec.MatchConditions, Validations: spec.Validations, Variables: spec.Variables,
			AuditAnnotations: spec.AuditAnnotations, FailurePolicy: &p.failure,
		})
		p.variants = append(p.variants, one)
	}
	return nil
}

func (p *Policy) mutating(raw []byte) error {
	var written v1beta1.MutatingPolicy
	if err := json.Unmarshal(raw, &written); err != nil {
		return fmt.Errorf("decoding a %s: %w", p.Kind, err)
	}
	p.Namespace, p.Name, p.annotations = written.Namespace, written.Name, written.Annotations
	p.actions, p.failure = []registration.ValidationAction{registration.Deny}, failure(written.Spec.FailurePolicy)
	expressions, err := admission.NewExpressions(p.library.options(p.Namespace)...)
	if err != nil {
		return err
	}
	specs := []v1beta1.MutatingPolicySpec{written.Spec}
	generated, err := mutations.Autogen(&written)
	if err != nil {
		return fmt.Errorf("decoding %s %s: %w", p.Kind, p.Name, err)
	}
	for _, name := range slices.Sorted(maps.Keys(generated)) {
		specs = append(specs, *generated[name].Spec)
	}
	for _, spec := range specs {
		one := variant{match: spec.MatchConstraints}
		compiled := registration.MutatingAdmissionPolicySpec{FailurePolicy: &p.failure}
		// The kinds of this group carry the types of an older version of the API, with the same fields.
		err := errors.Join(recode(spec.Mutations, &compiled.Mutations), recode(spec.Variables, &compiled.Variables), recode(spec.MatchConditions, &compiled.MatchConditions))
		if err != nil {
			return fmt.Errorf("decoding %s %s: %w", p.Kind, p.Name, err)
		}
		one.mutator, one.broken = expressions.CompileMutator(p.Name, compiled)
		p.variants = append(p.variants, one)
	}
	return nil
}

func recode(from, to any) error {
	raw, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, to)
}

func failure[T ~string](written *T) registration.FailurePolicyType {
	if written != nil && string(*written) == string(registration.Ignore) {
		return registration.Ignore
	}
	return registration.Fail
}

// Key is the policy's name as results write it.
func (p *Policy) Key() string {
	if p.Namespace != "" {
		return p.Namespace + "/" + p.Name
	}
	return p.Name
}

func (p *Policy) result() ruling.Result {
	result := ruling.Result{
		Kind: p.Kind, Policy: p.Key(), Status: ruling.Pass, Action: ruling.Audit,
		Severity: p.annotations["policies.kyverno.io/severity"], Category: p.annotations["policies.kyverno.io/category"],
	}
	switch {
	case slices.Contains(p.actions, registration.Deny):
		result.Action = ruling.Enforce
	case slices.Contains(p.actions, registration.Warn):
		result.Action = ruling.Alert
	}
	return result
}

// Evaluate returns what a policy comes to for a request, and the object as it changes it. about is false
// where the policy does not concern the request.
func (p *Policy) Evaluate(ctx context.Context, reader Reader, exceptions []Exception, request ruling.Request) (object map[string]any, result ruling.Result, about bool) {
	result, object = p.result(), request.Object
	if p.NotEvaluated != "" || p.Namespace != "" && ruling.Text(request.Subject(), "metadata", "namespace") != p.Namespace {
		return object, result, false
	}
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("the policy takes longer than %s", deadline))
	defer cancel()
	defer func() {
		if trouble := recover(); trouble != nil {
			object, about = request.Object, true
			result.Status, result.Message = ruling.Error, fmt.Sprintf("evaluating the policy: %v", trouble)
		}
	}()
	if p.reads {
		p.library.mu.Lock()
		defer p.library.mu.Unlock()
		p.library.reader = reader
	}
	for _, one := range p.variants {
		concerned, err := admission.Concerns(one.match, request)
		if err != nil {
			result.Status, result.Message = ruling.Error, err.Error()
			return object, result, true
		}
		if concerned {
			object, result = p.run(ctx, one, exceptions, request, result)
			return object, result, result.Status != ""
		}
	}
	return object, result, false
}

func (p *Policy) run(ctx context.Context, one variant, exceptions []Exception, request ruling.Request, result ruling.Result) (map[string]any, ruling.Result) {
	if one.broken != nil {
		result.Status, result.Message = ruling.Error, one.broken.Error()
		return request.Object, result
	}
	for _, exception := range exceptions {
		if exception.about(ctx, p, request) {
			result.Status, result.Exceptions = ruling.Skip, append(result.Exceptions, exception.Exception)
			result.Message = "the policy is not applied because of an exception: " + exception.Name
			return request.Object, result
		}
	}
	if one.mutator != nil {
		return p.change(ctx, one, request, result)
	}
	result.Status, result.Message = one.validator.Judge(ctx, request, nil)
	if result.Status == "" {
		result.Status, result.Message = ruling.Skip, "match conditions are not met"
	}
	if cause := context.Cause(ctx); cause != nil {
		result.Status, result.Message = ruling.Error, cause.Error()
	}
	return request.Object, result
}

func (p *Policy) change(ctx context.Context, one variant, request ruling.Request, result ruling.Result) (map[string]any, ruling.Result) {
	if request.Object == nil {
		result.Status = ""
		return nil, result
	}
	changed, about, err := one.mutator.Apply(ctx, request, nil)
	switch {
	case err != nil:
		result.Status, result.Message = ruling.Error, err.Error()
		if p.failure == registration.Ignore {
			result.Action = ruling.Audit
		}
		return request.Object, result
	case !about:
		result.Status, result.Message = ruling.Skip, "match conditions are not met"
		return request.Object, result
	}
	return changed, result
}

// Mutates tells whether the policy changes objects.
func (p *Policy) Mutates() bool {
	return p.Kind == "MutatingPolicy" || p.Kind == "NamespacedMutatingPolicy"
}

// Broken says why the policy cannot be evaluated, where that is so.
func (p *Policy) Broken() error {
	if p.NotEvaluated != "" {
		return nil
	}
	for _, one := range p.variants {
		if one.broken != nil {
			return one.broken
		}
	}
	return nil
}
