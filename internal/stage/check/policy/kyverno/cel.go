package kyverno

import (
	"context"
	"errors"

	registration "k8s.io/api/admissionregistration/v1"

	"holdfast.dev/holdfast/internal/stage/check/policy/admission"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/rule"
	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// compile compiles a rule that is written in CEL.
func (e *Engine) compile(one rule.Rule) (*admission.Validator, error) {
	if one.Validate.CEL.ParamKind != nil {
		return nil, errors.New("rules with parameters are not known: write a ValidatingAdmissionPolicy")
	}
	checks := make([]registration.Validation, len(one.Validate.CEL.Expressions))
	for i, check := range one.Validate.CEL.Expressions {
		if check.Message == "" {
			check.Message = one.Validate.Message
		}
		checks[i] = check
	}
	return e.cel.Compile(one.Name, registration.ValidatingAdmissionPolicySpec{
		MatchConditions: one.CELPreconditions, Validations: checks,
		Variables: one.Validate.CEL.Variables, AuditAnnotations: one.Validate.CEL.AuditAnnotations,
	})
}

// expressions decides a rule that is written in CEL.
func (ev evaluation) expressions(one *prepared) verdict {
	if one.err != nil {
		return verdict{ruling.Error, one.err.Error()}
	}
	status, text := one.cel.Judge(ev.ctx, ev.request, nil)
	if status == "" {
		return verdict{ruling.Skip, "cel preconditions not met"}
	}
	return verdict{status, text}
}

// conditions decides the match conditions of the policy as a whole.
func (e *Engine) conditions(ctx context.Context, p *Policy, request ruling.Request) (bool, error) {
	if p.Spec.Webhook == nil || len(p.Spec.Webhook.MatchConditions) == 0 {
		return true, nil
	}
	return e.cel.Matches(ctx, p.Name, p.Spec.Webhook.MatchConditions, request)
}
