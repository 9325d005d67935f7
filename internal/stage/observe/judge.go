package observe

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holdfast.dev/holdfast/internal/model/expression"
)

// HealthExpr is a unit's own health rule for the kinds of a group, or for one kind of it. The
// expressions see the fields of the object as variables: metadata, spec, status and so on.
type HealthExpr struct {
	Group string
	Kind  string // empty means all kinds of the group that have no rule of their own
	// The expressions are asked in this order, and the first that is true decides. Current is
	// required.
	InProgress, Failed, Current string
}

// Judges are compiled health rules. A nil *Judges judges nothing.
type Judges struct {
	exprs []HealthExpr
	byGK  map[schema.GroupKind]*judge
}

// judge is one compiled rule.
type judge struct {
	steps []step
}

type step struct {
	name   string
	expr   *expression.Expression
	status Status
}

// Compile checks and prepares health rules. Its errors tell which expression is wrong and why; only
// the author of the expressions can do something about them.
func Compile(exprs []HealthExpr) (*Judges, error) {
	if len(exprs) == 0 {
		return nil, nil
	}
	judges := &Judges{exprs: exprs, byGK: make(map[schema.GroupKind]*judge, len(exprs))}
	for i, rule := range exprs {
		gk := schema.GroupKind{Group: rule.Group, Kind: rule.Kind}
		if _, found := judges.byGK[gk]; found {
			return nil, fmt.Errorf("healthCheckExprs[%d]: %s has a rule already", i, gk)
		}
		judge, err := compileRule(rule)
		if err != nil {
			return nil, fmt.Errorf("healthCheckExprs[%d]: %w", i, err)
		}
		judges.byGK[gk] = judge
	}
	return judges, nil
}

func compileRule(rule HealthExpr) (*judge, error) {
	if rule.Current == "" {
		return nil, fmt.Errorf("current must be set")
	}
	result := &judge{}
	for _, part := range []struct {
		name, text string
		status     Status
	}{{"inProgress", rule.InProgress, InProgress}, {"failed", rule.Failed, Failed}, {"current", rule.Current, Current}} {
		if part.text == "" {
			continue
		}
		expr, err := expression.Compile(part.text, expression.Options{})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		result.steps = append(result.steps, step{name: part.name, expr: expr, status: part.status})
	}
	return result, nil
}

// of returns the rule for a kind, or nil. One for the very kind wins over one for its group.
func (j *Judges) of(gk schema.GroupKind) *judge {
	if j == nil {
		return nil
	}
	if found := j.byGK[gk]; found != nil {
		return found
	}
	return j.byGK[schema.GroupKind{Group: gk.Group}]
}

// judge gives the verdict on an object: first whether its controller has seen the current
// generation at all, then the expressions. One that cannot be evaluated, most often because a field
// is not there yet, decides nothing: the object is in progress.
func (j *judge) judge(ctx context.Context, u *unstructured.Unstructured) (Status, string) {
	observed, found, err := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	if generation := u.GetGeneration(); err == nil && found && generation != 0 && observed != generation {
		return InProgress, fmt.Sprintf("%s generation is %d, but latest observed generation is %d", u.GetKind(), generation, observed)
	}
	for _, step := range j.steps {
		holds, err := step.expr.Bool(ctx, u.Object)
		if err != nil {
			return InProgress, fmt.Sprintf("healthCheckExprs: %s: %v", step.name, err)
		}
		if holds {
			return step.status, "healthCheckExprs: " + step.name + " is true"
		}
	}
	return InProgress, "healthCheckExprs: current is not true"
}
