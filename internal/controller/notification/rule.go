package notification

import (
	"context"
	"fmt"

	v1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"k8s.io/apimachinery/pkg/runtime"

	"holdfast.dev/holdfast/internal/model/expression"
	"holdfast.dev/holdfast/internal/record/alert"
	"holdfast.dev/holdfast/internal/record/event"
)

// ruleOf makes a rule of an Alert and its Provider, which is nil where there is none.
func ruleOf(a *v1beta3.Alert, p *v1beta3.Provider) alert.Rule {
	rule := alert.Rule{
		Namespace: a.Namespace, Name: a.Name, Severity: a.Spec.EventSeverity,
		Include: a.Spec.InclusionList, Exclude: a.Spec.ExclusionList,
		Metadata: a.Spec.EventMetadata, Summary: a.Spec.Summary,
		Suspended: a.Spec.Suspend || !a.DeletionTimestamp.IsZero(),
		Provider:  alert.Provider{Name: a.Spec.ProviderRef.Name, Missing: p == nil},
	}
	for _, source := range a.Spec.EventSources {
		rule.Sources = append(rule.Sources, alert.Source{
			Kind: source.Kind, Namespace: source.Namespace, Name: source.Name, Labels: source.MatchLabels,
		})
	}
	if p != nil {
		rule.Provider.Type, rule.Provider.UID, rule.Provider.Suspended = p.Spec.Type, string(p.UID), p.Spec.Suspend
		if p.Spec.CommitStatusExpr != "" {
			rule.Provider.StatusName = statusName(a, p)
		}
	}
	return rule
}

// statusName evaluates a Provider's commitStatusExpr, which sees the event, the alert and the provider.
func statusName(a *v1beta3.Alert, p *v1beta3.Provider) func(context.Context, event.Event) (string, error) {
	return func(ctx context.Context, said event.Event) (string, error) {
		compiled, err := compileStatusName(p.Spec.CommitStatusExpr)
		if err != nil {
			return "", err
		}
		data := map[string]any{}
		for name, value := range map[string]any{"event": &said, "alert": a, "provider": p} {
			content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(value)
			if err != nil {
				return "", fmt.Errorf("reading the %s for commitStatusExpr: %w", name, err)
			}
			data[name] = content
		}
		return compiled.Text(ctx, data)
	}
}

func compileStatusName(text string) (*expression.Expression, error) {
	compiled, err := expression.Compile(text, expression.Options{Objects: []string{"event", "alert", "provider"}, Text: true})
	if err != nil {
		return nil, fmt.Errorf("reading commitStatusExpr: %w", err)
	}
	return compiled, nil
}
