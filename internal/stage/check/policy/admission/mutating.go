package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	registration "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/generic"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"

	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// Mutator is the compiled expressions of a policy that changes objects.
type Mutator struct {
	matcher  matchconditions.Matcher
	patchers []patch.Patcher
	compiler *cel.CompositedCompiler
	types    types
}

// types knows how fields of built-in kinds merge; of other kinds it goes by what it sees.
type types struct{ known, deduced managedfields.TypeConverter }

// CompileMutator compiles the expressions of a policy.
func (e *Expressions) CompileMutator(name string, spec registration.MutatingAdmissionPolicySpec) (*Mutator, error) {
	if err := asksAuthorizer(spec.Variables, spec.MatchConditions, nil); err != nil {
		return nil, err
	}
	compiler, err := cel.NewCompositedCompiler(e.base)
	if err != nil {
		return nil, fmt.Errorf("preparing CEL: %w", err)
	}
	options := cel.OptionalVariableDeclarations{HasParams: spec.ParamKind != nil, HasAuthorizer: true}
	compiler.CompileAndStoreVariables(variables(spec.Variables), options, environment.StoredExpressions)
	m := &Mutator{compiler: compiler, types: types{known: applyconfigurations.NewTypeConverter(scheme.Scheme), deduced: managedfields.NewDeducedTypeConverter()}}
	var broken []error
	m.matcher, broken = match(compiler, name, spec.MatchConditions, spec.FailurePolicy, options)
	options.HasPatchTypes = true
	for _, one := range spec.Mutations {
		switch {
		case one.PatchType == registration.PatchTypeJSONPatch && one.JSONPatch != nil:
			compiled := compiler.CompileMutatingEvaluator(&patch.JSONPatchCondition{Expression: one.JSONPatch.Expression}, options, environment.StoredExpressions)
			broken = append(broken, compiled.CompilationErrors()...)
			m.patchers = append(m.patchers, patch.NewJSONPatcher(compiled))
		case one.PatchType == registration.PatchTypeApplyConfiguration && one.ApplyConfiguration != nil:
			compiled := compiler.CompileMutatingEvaluator(&patch.ApplyConfigurationCondition{Expression: one.ApplyConfiguration.Expression}, options, environment.StoredExpressions)
			broken = append(broken, compiled.CompilationErrors()...)
			m.patchers = append(m.patchers, patch.NewApplyConfigurationPatcher(compiled))
		}
	}
	return m, errors.Join(broken...)
}

// Apply returns the object as the policy changes it. about is false where its conditions do not match.
func (m *Mutator) Apply(ctx context.Context, request ruling.Request, param map[string]any) (object map[string]any, about bool, err error) {
	versioned, err := attributes(request)
	if err != nil {
		return nil, false, err
	}
	ctx = m.compiler.CreateContext(ctx)
	var with runtime.Object
	if param != nil {
		with = typed(param)
	}
	if m.matcher != nil {
		if result := m.matcher.Match(ctx, versioned, with, nobody{}); result.Error != nil || !result.Matches {
			return request.Object, false, result.Error
		}
	}
	for _, patcher := range m.patchers {
		changed, err := patcher.Patch(ctx, patch.Request{
			MatchedResource: versioned.GetResource(), VersionedAttributes: versioned, ObjectInterfaces: interfaces(),
			OptionalVariables: cel.OptionalVariableBindings{VersionedParams: with, Authorizer: nobody{}},
			Namespace:         namespaceOf(request), TypeConverter: m.types.of(versioned.VersionedObject),
		}, celconfig.RuntimeCELCostBudget)
		if err != nil {
			return nil, true, err
		}
		versioned.VersionedObject, versioned.Dirty = changed, true
	}
	final, ok := versioned.VersionedObject.(*unstructured.Unstructured)
	if !ok {
		return nil, true, fmt.Errorf("the patched object is a %T", versioned.VersionedObject)
	}
	return final.Object, true, nil
}

func (t types) of(object runtime.Object) managedfields.TypeConverter {
	if scheme.Scheme.Recognizes(object.GetObjectKind().GroupVersionKind()) {
		return t.known
	}
	return t.deduced
}

// Mutating is a MutatingAdmissionPolicy that is ready to be evaluated.
type Mutating struct {
	policy  *registration.MutatingAdmissionPolicy
	mutator *Mutator
	// Broken says why the policy cannot be evaluated.
	Broken error
}

// Name returns the policy's name.
func (m *Mutating) Name() string { return m.policy.Name }

// DecodeMutating reads a policy and compiles it.
func (e *Expressions) DecodeMutating(raw []byte) (*Mutating, error) {
	policy := &registration.MutatingAdmissionPolicy{}
	if err := json.Unmarshal(raw, policy); err != nil {
		return nil, fmt.Errorf("decoding a MutatingAdmissionPolicy: %w", err)
	}
	policy.Spec.MatchConstraints = defaulted(policy.Spec.MatchConstraints)
	policy.Spec.FailurePolicy = orFail(policy.Spec.FailurePolicy)
	found := &Mutating{policy: policy}
	found.mutator, found.Broken = e.CompileMutator(policy.Name, policy.Spec)
	return found, nil
}

// DecodeMutatingBinding reads a MutatingAdmissionPolicyBinding.
func DecodeMutatingBinding(raw []byte) (*registration.MutatingAdmissionPolicyBinding, error) {
	binding := &registration.MutatingAdmissionPolicyBinding{}
	if err := json.Unmarshal(raw, binding); err != nil {
		return nil, fmt.Errorf("decoding a MutatingAdmissionPolicyBinding: %w", err)
	}
	return binding, nil
}

// Apply returns the object as a policy with one of its bindings changes it. A result is there only where
// that failed, or where something was changed.
func (m *Mutating) Apply(ctx context.Context, binding *registration.MutatingAdmissionPolicyBinding, params Params, request ruling.Request) (object map[string]any, result ruling.Result, about bool) {
	result = ruling.Result{Kind: "MutatingAdmissionPolicy", Policy: m.policy.Name, Rule: binding.Name, Status: ruling.Error, Action: ruling.Enforce}
	if *m.policy.Spec.FailurePolicy == registration.Ignore {
		result.Action = ruling.Audit
	}
	defer func() {
		if trouble := recover(); trouble != nil {
			object, result.Message, about = request.Object, fmt.Sprintf("evaluating the policy: %v", trouble), true
		}
	}()
	for _, match := range []*registration.MatchResources{m.policy.Spec.MatchConstraints, binding.Spec.MatchResources} {
		if match == nil {
			continue
		}
		if concerned, err := Concerns(match, request); err != nil || !concerned {
			result.Message = fmt.Sprint(err)
			return request.Object, result, err != nil
		}
	}
	objects, err := m.params(binding, params, request)
	if err == nil {
		err = m.Broken
	}
	current := request
	for _, param := range objects {
		if err != nil {
			break
		}
		var changed map[string]any
		if changed, _, err = m.mutator.Apply(ctx, current, param); err == nil {
			current.Object = changed
		}
	}
	if err != nil {
		result.Message = fmt.Sprintf("policy '%s' with binding '%s' denied request: %v", m.policy.Name, binding.Name, err)
		return request.Object, result, true
	}
	result.Status = ruling.Pass
	return current.Object, result, true
}

// params returns the parameters that a binding chooses, or one nil where the policy has none.
func (m *Mutating) params(binding *registration.MutatingAdmissionPolicyBinding, params Params, request ruling.Request) ([]map[string]any, error) {
	informer, scope, err := collect(m.policy.Spec.ParamKind, params)
	if err != nil {
		return nil, err
	}
	chosen, err := generic.CollectParams(m.policy.Spec.ParamKind, informer, scope, binding.Spec.ParamRef, ruling.Text(request.Object, "metadata", "namespace"))
	if err != nil {
		return nil, err
	}
	objects := make([]map[string]any, len(chosen))
	for i, one := range chosen {
		if u, ok := one.(*unstructured.Unstructured); ok {
			objects[i] = u.Object
		}
	}
	return objects, nil
}
