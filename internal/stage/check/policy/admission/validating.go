package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	registration "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission/plugin/policy/generic"
	"k8s.io/apiserver/pkg/admission/plugin/policy/matching"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"

	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// Validating is a ValidatingAdmissionPolicy that is ready to be evaluated.
type Validating struct {
	policy    *registration.ValidatingAdmissionPolicy
	validator *Validator
	// Broken says why the policy cannot be evaluated.
	Broken error
}

// Name returns the policy's name.
func (v *Validating) Name() string { return v.policy.Name }

// DecodeValidating reads a policy and compiles it.
func (e *Expressions) DecodeValidating(raw []byte) (*Validating, error) {
	policy := &registration.ValidatingAdmissionPolicy{}
	if err := json.Unmarshal(raw, policy); err != nil {
		return nil, fmt.Errorf("decoding a ValidatingAdmissionPolicy: %w", err)
	}
	policy.Spec.MatchConstraints = defaulted(policy.Spec.MatchConstraints)
	policy.Spec.FailurePolicy = orFail(policy.Spec.FailurePolicy)
	found := &Validating{policy: policy}
	found.validator, found.Broken = e.Compile(policy.Name, policy.Spec)
	return found, nil
}

// DecodeBinding reads a ValidatingAdmissionPolicyBinding.
func DecodeBinding(raw []byte) (*registration.ValidatingAdmissionPolicyBinding, error) {
	binding := &registration.ValidatingAdmissionPolicyBinding{}
	if err := json.Unmarshal(raw, binding); err != nil {
		return nil, fmt.Errorf("decoding a ValidatingAdmissionPolicyBinding: %w", err)
	}
	if binding.Spec.MatchResources != nil {
		binding.Spec.MatchResources = defaulted(binding.Spec.MatchResources)
	}
	return binding, nil
}

// defaulted fills in what the server would: a policy from a file has not been through it.
func defaulted(match *registration.MatchResources) *registration.MatchResources {
	if match == nil {
		match = &registration.MatchResources{}
	}
	if match.NamespaceSelector == nil {
		match.NamespaceSelector = &meta.LabelSelector{}
	}
	if match.ObjectSelector == nil {
		match.ObjectSelector = &meta.LabelSelector{}
	}
	if match.MatchPolicy == nil {
		equivalent := registration.Equivalent
		match.MatchPolicy = &equivalent
	}
	all := registration.AllScopes
	for _, rules := range [][]registration.NamedRuleWithOperations{match.ResourceRules, match.ExcludeResourceRules} {
		for i := range rules {
			if rules[i].Scope == nil {
				rules[i].Scope = &all
			}
		}
	}
	return match
}

func orFail(policy *registration.FailurePolicyType) *registration.FailurePolicyType {
	if policy == nil {
		fail := registration.Fail
		return &fail
	}
	return policy
}

// Judge returns what a policy with one of its bindings says of a request. about is false where they do not
// concern it, or find nothing wrong.
func (v *Validating) Judge(ctx context.Context, binding *registration.ValidatingAdmissionPolicyBinding, params Params, request ruling.Request) (result ruling.Result, about bool) {
	result = ruling.Result{Kind: "ValidatingAdmissionPolicy", Policy: v.policy.Name, Rule: binding.Name, Status: ruling.Fail, Action: action(binding.Spec.ValidationActions)}
	defer func() {
		if trouble := recover(); trouble != nil {
			result.Status, result.Message, about = ruling.Error, fmt.Sprintf("evaluating the policy: %v", trouble), true
		}
	}()
	hook := validating.PolicyHook{Policy: v.policy, Bindings: []*registration.ValidatingAdmissionPolicyBinding{denying(binding)}}
	if hook.ConfigurationError = v.Broken; v.Broken == nil {
		hook.Evaluator = v.validator.validator
		hook.ParamInformer, hook.ParamScope, hook.ConfigurationError = collect(v.policy.Spec.ParamKind, params)
	}
	lister := namespaces{request: request, selects: v.selects(binding)}
	dispatcher := validating.NewDispatcher(nobody{}, generic.NewPolicyMatcher(matching.NewMatcher(lister, nil)))
	err := dispatcher.Dispatch(ctx, record(request), interfaces(), []validating.PolicyHook{hook})
	if err == nil {
		return result, false
	}
	if hook.ConfigurationError != nil {
		result.Status = ruling.Error
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		result.Status = ruling.Error
	}
	result.Message = err.Error()
	return result, true
}

// denying returns a binding that denies, whatever it does otherwise, so that its verdict shows.
func denying(binding *registration.ValidatingAdmissionPolicyBinding) *registration.ValidatingAdmissionPolicyBinding {
	fresh := *binding
	fresh.Spec.ValidationActions = []registration.ValidationAction{registration.Deny}
	return &fresh
}

func action(actions []registration.ValidationAction) ruling.Action {
	switch {
	case slices.Contains(actions, registration.Deny):
		return ruling.Enforce
	case slices.Contains(actions, registration.Warn):
		return ruling.Alert
	default:
		return ruling.Audit
	}
}

// selects tells whether the labels of the namespace matter.
func (v *Validating) selects(binding *registration.ValidatingAdmissionPolicyBinding) bool {
	chosen := func(match *registration.MatchResources) bool {
		return match != nil && match.NamespaceSelector != nil && len(match.NamespaceSelector.MatchLabels)+len(match.NamespaceSelector.MatchExpressions) > 0
	}
	var expressions []string
	for _, one := range v.policy.Spec.Validations {
		expressions = append(expressions, one.Expression, one.MessageExpression)
	}
	for _, one := range v.policy.Spec.Variables {
		expressions = append(expressions, one.Expression)
	}
	for _, one := range v.policy.Spec.MatchConditions {
		expressions = append(expressions, one.Expression)
	}
	return chosen(v.policy.Spec.MatchConstraints) || chosen(binding.Spec.MatchResources) || looksAtNamespace(expressions...)
}
