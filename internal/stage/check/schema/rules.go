package schema

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// keywordRules is where definitions hold rules in CEL.
const keywordRules = "x-kubernetes-validations"

// rules are the rules in CEL of one kind, as the API server evaluates them.
type rules struct {
	schema    *structural.Structural
	validator *cel.Validator
}

// newRules compiles the rules of a schema whose references were resolved; nil where there are none.
func newRules(raw []byte) (*rules, error) {
	if !strings.Contains(string(raw), keywordRules) {
		return nil, nil //nolint:nilnil // no rules
	}
	var written apiextensionsv1.JSONSchemaProps
	if err := json.Unmarshal(raw, &written); err != nil {
		return nil, fmt.Errorf("reading rules: %w", err)
	}
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&written, &internal, nil); err != nil {
		return nil, fmt.Errorf("reading rules: %w", err)
	}
	schema, err := structural.NewStructural(&internal)
	if err != nil {
		return nil, fmt.Errorf("reading rules: %w", err)
	}
	return &rules{schema: schema, validator: cel.NewValidator(schema, true, celconfig.PerCallLimit)}, nil
}

// judge evaluates the rules on an object, within the cost that the API server allows.
func (r *rules) judge(ctx context.Context, content map[string]any, v *verdict) {
	if r == nil || r.validator == nil {
		return
	}
	content = runtime.DeepCopyJSON(content)
	defaulting.Default(content, r.schema)
	problems, _ := r.validator.Validate(ctx, nil, r.schema, content, nil, celconfig.RuntimeCELCostBudget)
	for _, problem := range problems {
		path, message := problem.Field, problem.Detail
		if path == "<nil>" {
			path = ""
		}
		if message == "" {
			message = problem.Error()
		}
		if problem.Type == field.ErrorTypeForbidden || problem.Type == field.ErrorTypeInternal {
			message = "the rules could not be evaluated: " + message
		}
		v.say(RuleCEL, path, message, "")
	}
}
