package policy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	registration "k8s.io/api/admissionregistration/v1"

	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check/policy/admission"
	"holdfast.dev/holdfast/internal/stage/check/policy/celpolicy"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/rule"
	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// The groups whose kinds are policies.
const (
	nativeGroup  = "admissionregistration.k8s.io"
	kyvernoGroup = "kyverno.io"
	celGroup     = "policies.kyverno.io"
)

// Kinds are the kinds that are read as policies, with the versions that they may have, newest first.
func Kinds() []object.Ref {
	kinds := []object.Ref{
		{Group: nativeGroup, Version: "v1", Kind: "ValidatingAdmissionPolicy"},
		{Group: nativeGroup, Version: "v1", Kind: "ValidatingAdmissionPolicyBinding"},
		{Group: nativeGroup, Version: "v1", Kind: "MutatingAdmissionPolicy"},
		{Group: nativeGroup, Version: "v1", Kind: "MutatingAdmissionPolicyBinding"},
		{Group: kyvernoGroup, Version: "v1", Kind: "ClusterPolicy"},
		{Group: kyvernoGroup, Version: "v1", Kind: "Policy"},
		{Group: kyvernoGroup, Version: "v2", Kind: "PolicyException"},
	}
	for _, kind := range []string{"ValidatingPolicy", "NamespacedValidatingPolicy", "MutatingPolicy", "NamespacedMutatingPolicy", "PolicyException"} {
		for _, version := range []string{"v1", "v1beta1", "v1alpha1"} {
			kinds = append(kinds, object.Ref{Group: celGroup, Version: version, Kind: kind})
		}
	}
	return kinds
}

// IsPolicy tells whether an object is a policy, or belongs to one.
func IsPolicy(ref object.Ref) bool {
	switch ref.Group {
	case kyvernoGroup, celGroup:
		return true
	case nativeGroup:
		return slices.ContainsFunc(Kinds(), func(kind object.Ref) bool { return kind.Group == nativeGroup && kind.Kind == ref.Kind })
	default:
		return false
	}
}

// collection is policies that are ready to be evaluated together.
type collection struct {
	validating       []*admission.Validating
	bindings         []*registration.ValidatingAdmissionPolicyBinding
	mutating         []*admission.Mutating
	mutatingBindings []*registration.MutatingAdmissionPolicyBinding
	cel              []*celpolicy.Policy
	celExceptions    []celpolicy.Exception
	kyverno          []*kyverno.Policy
	exceptions       []rule.Exception
	findings         []finding.Finding
}

func (c *collection) empty() bool {
	return len(c.validating)+len(c.mutating)+len(c.cel)+len(c.kyverno) == 0
}

// collect compiles the policies among objects. What is wrong with one is a finding of that one.
func (e *Engine) collect(objects []object.Object, now time.Time) *collection {
	c := &collection{}
	for _, one := range objects {
		if !IsPolicy(one.Ref) {
			continue
		}
		if err := e.add(c, one, now); err != nil {
			c.tell(one.Ref, finding.Error, "broken", err.Error(), "correct the policy: as it is, it cannot be evaluated")
		}
	}
	return c
}

func (c *collection) tell(ref object.Ref, severity finding.Severity, rule, message, advice string) {
	c.findings = append(c.findings, finding.Finding{Rule: "policy/" + rule, Severity: severity, Ref: ref, Message: message, Advice: advice})
}

func (e *Engine) add(c *collection, one object.Object, now time.Time) error {
	switch {
	case one.Group == nativeGroup:
		return e.addNative(c, one)
	case one.Kind == "PolicyException":
		return e.addException(c, one, now)
	case one.Group == kyvernoGroup && (one.Kind == "ClusterPolicy" || one.Kind == "Policy"):
		compiled, err := remember(e, one, func() (*kyverno.Policy, error) {
			decoded, err := rule.Decode(one.JSON)
			return kyverno.NewPolicy(decoded), err
		})
		if err != nil {
			return err
		}
		c.kyverno = append(c.kyverno, compiled)
		for _, why := range compiled.NotEvaluated() {
			c.tell(one.Ref, finding.Warning, "not-evaluated", why, "")
		}
	case one.Group == celGroup && slices.Contains([]string{"ValidatingPolicy", "NamespacedValidatingPolicy", "MutatingPolicy", "NamespacedMutatingPolicy"}, one.Kind):
		compiled, err := remember(e, one, func() (*celpolicy.Policy, error) { return celpolicy.Decode(one.JSON) })
		if err != nil {
			return err
		}
		if compiled.NotEvaluated != "" {
			c.tell(one.Ref, finding.Warning, "not-evaluated", "the policy is not evaluated: "+compiled.NotEvaluated, "")
		}
		c.cel = append(c.cel, compiled)
		return compiled.Broken()
	default:
		c.tell(one.Ref, finding.Warning, "not-evaluated", "policies of this kind are not evaluated", "")
	}
	return nil
}

func (e *Engine) addNative(c *collection, one object.Object) error {
	switch one.Kind {
	case "ValidatingAdmissionPolicy":
		compiled, err := remember(e, one, func() (*admission.Validating, error) { return e.native.DecodeValidating(one.JSON) })
		if err != nil {
			return err
		}
		if errors.Is(compiled.Broken, admission.ErrAuthorizer) {
			c.tell(one.Ref, finding.Warning, "not-evaluated", "the policy is left to the API server: "+compiled.Broken.Error(), "")
			return nil
		}
		c.validating = append(c.validating, compiled)
		return compiled.Broken
	case "MutatingAdmissionPolicy":
		compiled, err := remember(e, one, func() (*admission.Mutating, error) { return e.native.DecodeMutating(one.JSON) })
		if err != nil {
			return err
		}
		if errors.Is(compiled.Broken, admission.ErrAuthorizer) {
			c.tell(one.Ref, finding.Warning, "not-evaluated", "the policy is left to the API server: "+compiled.Broken.Error(), "")
			return nil
		}
		c.mutating = append(c.mutating, compiled)
		return compiled.Broken
	case "ValidatingAdmissionPolicyBinding":
		binding, err := admission.DecodeBinding(one.JSON)
		if err == nil {
			c.bindings = append(c.bindings, binding)
		}
		return err
	default:
		binding, err := admission.DecodeMutatingBinding(one.JSON)
		if err == nil {
			c.mutatingBindings = append(c.mutatingBindings, binding)
		}
		return err
	}
}

// addException takes an exception in, if it comes from where exceptions may come from and still holds.
func (e *Engine) addException(c *collection, one object.Object, now time.Time) error {
	decoded, err := rule.DecodeException(one.JSON)
	if err != nil {
		return err
	}
	waiver := ruling.Exception{Name: one.Namespace + "/" + one.Name, Owner: decoded.Annotations[kyverno.OwnerKey], Expires: decoded.Annotations[kyverno.ExpiresKey]}
	if !slices.Contains(e.options.ExceptionNamespaces, one.Namespace) && !slices.Contains(e.options.ExceptionNamespaces, "*") {
		c.tell(one.Ref, finding.Warning, "exception", "the exception is not honoured: exceptions from its namespace are not", "have an operator allow the namespace, or put the exception where they are allowed")
		return nil
	}
	ended, err := expired(waiver.Expires, now)
	if err != nil {
		return err
	}
	if ended {
		c.tell(one.Ref, finding.Warning, "exception", "the exception expired on "+waiver.Expires+" and is not honoured", "delete it, or have "+orSomebody(waiver.Owner)+" renew it")
		return nil
	}
	if one.Group == kyvernoGroup {
		c.exceptions = append(c.exceptions, decoded)
		return nil
	}
	exception, err := celpolicy.DecodeException(one.JSON, e.native, waiver)
	if err != nil {
		return err
	}
	if exception.Partial() {
		c.tell(one.Ref, finding.Warning, "not-evaluated", "exceptions for some images or values only are not honoured", "")
		return nil
	}
	c.celExceptions = append(c.celExceptions, exception)
	return nil
}

func orSomebody(owner string) string {
	if owner == "" {
		return "its owner"
	}
	return owner
}

func expired(text string, now time.Time) (bool, error) {
	if text == "" {
		return false, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return !now.Before(day.AddDate(0, 0, 1)), nil
	}
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return false, fmt.Errorf("reading %s: %q is neither a day, as 2030-01-31, nor a time of RFC 3339", kyverno.ExpiresKey, text)
	}
	return !now.Before(moment), nil
}

// with returns the policies of both, of which ours replace those of the same name.
func (c *collection) with(ours *collection) *collection {
	both := *ours
	both.validating = merge(ours.validating, c.validating, (*admission.Validating).Name)
	both.mutating = merge(ours.mutating, c.mutating, (*admission.Mutating).Name)
	both.bindings = merge(ours.bindings, c.bindings, (*registration.ValidatingAdmissionPolicyBinding).GetName)
	both.mutatingBindings = merge(ours.mutatingBindings, c.mutatingBindings, (*registration.MutatingAdmissionPolicyBinding).GetName)
	both.cel = merge(ours.cel, c.cel, func(p *celpolicy.Policy) string { return p.Kind + "/" + p.Key() })
	both.kyverno = merge(ours.kyverno, c.kyverno, func(p *kyverno.Policy) string { return p.Kind + "/" + p.Key() })
	both.exceptions = merge(ours.exceptions, c.exceptions, func(e rule.Exception) string { return e.Namespace + "/" + e.Name })
	both.celExceptions = merge(ours.celExceptions, c.celExceptions, func(e celpolicy.Exception) string { return e.Name })
	return &both
}

func merge[T any](ours, theirs []T, name func(T) string) []T {
	seen := map[string]bool{}
	for _, one := range ours {
		seen[name(one)] = true
	}
	all := slices.Clone(ours)
	for _, one := range theirs {
		if !seen[name(one)] {
			all = append(all, one)
		}
	}
	return all
}
