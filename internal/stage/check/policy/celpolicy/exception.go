package celpolicy

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kyverno/api/api/policies.kyverno.io/v1beta1"
	registration "k8s.io/api/admissionregistration/v1"

	"holdfast.dev/holdfast/internal/stage/check/policy/admission"
	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// Exception keeps objects from being judged by some policies.
type Exception struct {
	ruling.Exception
	Namespace string
	policies  []v1beta1.PolicyRef
	matches   []registration.MatchCondition
	language  *admission.Expressions
	partial   bool // it allows images or values only, which only the policy itself could weigh
}

// DecodeException reads a PolicyException of policies.kyverno.io.
func DecodeException(raw []byte, language *admission.Expressions, waiver ruling.Exception) (Exception, error) {
	var written v1beta1.PolicyException
	if err := json.Unmarshal(raw, &written); err != nil {
		return Exception{}, fmt.Errorf("decoding a PolicyException: %w", err)
	}
	e := Exception{Exception: waiver, Namespace: written.Namespace, policies: written.Spec.PolicyRefs, matches: written.Spec.MatchConditions, language: language}
	e.partial = len(written.Spec.Images) > 0 || len(written.Spec.AllowedValues) > 0
	return e, nil
}

// Partial tells whether the exception is one that is not acted on.
func (e Exception) Partial() bool { return e.partial }

func (e Exception) about(ctx context.Context, p *Policy, request ruling.Request) bool {
	if e.partial {
		return false
	}
	for _, ref := range e.policies {
		if ref.Name != p.Name || ref.Kind != "" && ref.Kind != p.Kind {
			continue
		}
		if p.Namespace != "" && p.Namespace != e.Namespace {
			continue
		}
		matches, err := e.language.Matches(ctx, e.Name, e.matches, request)
		return err == nil && matches
	}
	return false
}
