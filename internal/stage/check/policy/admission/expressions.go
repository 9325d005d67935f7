package admission

import (
	"context"
	"errors"
	"fmt"
	"strings"

	celgo "github.com/google/cel-go/cel"
	registration "k8s.io/api/admissionregistration/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"

	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// Expressions compiles the CEL expressions of policies as the API server does. It is safe for concurrent use.
type Expressions struct {
	base *environment.EnvSet
}

// NewExpressions returns a compiler that knows what the API server's does, and more by options.
func NewExpressions(options ...celgo.EnvOption) (*Expressions, error) {
	base := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
	if len(options) == 0 {
		return &Expressions{base: base}, nil
	}
	extended, err := base.Extend(environment.VersionedOptions{IntroducedVersion: version.MajorMinor(1, 0), EnvOptions: options})
	if err != nil {
		return nil, fmt.Errorf("preparing CEL: %w", err)
	}
	return &Expressions{base: extended}, nil
}

// Validator is the compiled expressions of a validating policy.
type Validator struct {
	validator validating.Validator
	params    bool
}

// Compile compiles the expressions of a policy. What does not compile is an error.
func (e *Expressions) Compile(name string, spec registration.ValidatingAdmissionPolicySpec) (*Validator, error) {
	if err := asksAuthorizer(spec.Variables, spec.MatchConditions, spec.Validations); err != nil {
		return nil, err
	}
	compiler, err := cel.NewCompositedCompiler(e.base)
	if err != nil {
		return nil, fmt.Errorf("preparing CEL: %w", err)
	}
	options := cel.OptionalVariableDeclarations{HasParams: spec.ParamKind != nil, HasAuthorizer: true}
	messages := cel.OptionalVariableDeclarations{HasParams: spec.ParamKind != nil}
	compiler.CompileAndStoreVariables(variables(spec.Variables), options, environment.StoredExpressions)
	matcher, broken := match(compiler, name, spec.MatchConditions, spec.FailurePolicy, options)
	checks := make([]cel.ExpressionAccessor, len(spec.Validations))
	texts := make([]cel.ExpressionAccessor, len(spec.Validations))
	for i, one := range spec.Validations {
		checks[i] = &validating.ValidationCondition{Expression: one.Expression, Message: one.Message, Reason: one.Reason}
		if one.MessageExpression != "" {
			texts[i] = &validating.MessageExpressionCondition{MessageExpression: one.MessageExpression}
		}
	}
	notes := make([]cel.ExpressionAccessor, len(spec.AuditAnnotations))
	for i, one := range spec.AuditAnnotations {
		notes[i] = &validating.AuditAnnotationCondition{Key: one.Key, ValueExpression: one.ValueExpression}
	}
	condition := func(accessors []cel.ExpressionAccessor, options cel.OptionalVariableDeclarations) cel.ConditionEvaluator {
		compiled := compiler.CompileCondition(accessors, options, environment.StoredExpressions)
		broken = append(broken, compiled.CompilationErrors()...)
		return compiled
	}
	validator := validating.NewValidator(condition(checks, options), matcher, condition(notes, options), condition(texts, messages), spec.FailurePolicy, nil)
	return &Validator{validator: validator, params: spec.ParamKind != nil}, errors.Join(broken...)
}

func variables(written []registration.Variable) []cel.NamedExpressionAccessor {
	named := make([]cel.NamedExpressionAccessor, len(written))
	for i, one := range written {
		named[i] = &validating.Variable{Name: one.Name, Expression: one.Expression}
	}
	return named
}

// match compiles match conditions; there is no matcher where there are none.
func match(compiler *cel.CompositedCompiler, name string, conditions []registration.MatchCondition, failure *registration.FailurePolicyType, options cel.OptionalVariableDeclarations) (matchconditions.Matcher, []error) {
	if len(conditions) == 0 {
		return nil, nil
	}
	accessors := make([]cel.ExpressionAccessor, len(conditions))
	for i := range conditions {
		accessors[i] = (*matchconditions.MatchCondition)(&conditions[i])
	}
	compiled := compiler.CompileCondition(accessors, options, environment.StoredExpressions)
	return matchconditions.NewMatcher(compiled, failure, "policy", "validate", name), compiled.CompilationErrors()
}

// Matches decides match conditions by themselves. An error of an expression counts as no match only where
// failure is Ignore.
func (e *Expressions) Matches(ctx context.Context, name string, conditions []registration.MatchCondition, request ruling.Request) (bool, error) {
	compiler, err := cel.NewCompositedCompiler(e.base)
	if err != nil {
		return false, fmt.Errorf("preparing CEL: %w", err)
	}
	matcher, broken := match(compiler, name, conditions, nil, cel.OptionalVariableDeclarations{HasAuthorizer: true})
	if len(broken) > 0 || matcher == nil {
		return matcher == nil, errors.Join(broken...)
	}
	versioned, err := attributes(request)
	if err != nil {
		return false, err
	}
	result := matcher.Match(ctx, versioned, nil, nobody{})
	return result.Matches, result.Error
}

// ErrAuthorizer says that a policy cannot be evaluated here.
var ErrAuthorizer = errors.New("an expression asks the authorizer, which only the API server can")

func asksAuthorizer(variables []registration.Variable, conditions []registration.MatchCondition, validations []registration.Validation) error {
	for _, one := range variables {
		if strings.Contains(one.Expression, "authorizer.") {
			return ErrAuthorizer
		}
	}
	for _, one := range conditions {
		if strings.Contains(one.Expression, "authorizer.") {
			return ErrAuthorizer
		}
	}
	for _, one := range validations {
		if strings.Contains(one.Expression, "authorizer.") {
			return ErrAuthorizer
		}
	}
	return nil
}

// Judge evaluates the validations for a request with a parameter, which is nil where the policy has none.
// A policy whose conditions do not match says nothing.
func (v *Validator) Judge(ctx context.Context, request ruling.Request, param map[string]any) (ruling.Status, string) {
	versioned, err := attributes(request)
	if err != nil {
		return ruling.Error, err.Error()
	}
	var with runtime.Object
	if param != nil {
		with = typed(param)
	}
	result := v.validator.Validate(ctx, versioned.GetResource(), versioned, with, namespaceOf(request), celconfig.RuntimeCELCostBudget, nobody{})
	if len(result.Decisions) == 0 && len(result.AuditAnnotations) == 0 {
		return "", ""
	}
	for _, decision := range result.Decisions {
		switch {
		case decision.Action == validating.ActionDeny:
			return ruling.Fail, decision.Message // also where an expression failed and the policy says Fail
		case decision.Evaluation == validating.EvalError:
			return ruling.Error, decision.Message
		}
	}
	return ruling.Pass, ""
}

// namespaceOf returns the namespace that expressions see.
func namespaceOf(request ruling.Request) *core.Namespace {
	name := ruling.Text(request.Subject(), "metadata", "namespace")
	if name == "" {
		return nil
	}
	found := &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: name, Labels: request.NamespaceLabels}}
	found.Annotations = ruling.Texts(request.Namespace, "metadata", "annotations")
	return found
}
