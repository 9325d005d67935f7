package match_test

import (
	"encoding/json"
	"errors"
	"testing"

	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/match"
	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

func TestRule(t *testing.T) {
	cases := map[string]struct {
		why, match, exclude string
		change              func(*ruling.Request)
		want                bool
		unknown             bool
	}{
		"Kind":          {why: "a kind alone", match: `{"any": [{"resources": {"kinds": ["Deployment"]}}]}`, want: true},
		"Group":         {why: "a kind in full", match: `{"any": [{"resources": {"kinds": ["apps/v1/Deployment"]}}]}`, want: true},
		"OtherGroup":    {why: "of another group", match: `{"any": [{"resources": {"kinds": ["extensions/v1/Deployment"]}}]}`},
		"Everything":    {why: "every kind", match: `{"any": [{"resources": {"kinds": ["*"]}}]}`, want: true},
		"Old":           {why: "the form without any", match: `{"resources": {"kinds": ["Deployment"], "namespaces": ["w*"]}}`, want: true},
		"Empty":         {why: "an empty block is about nothing", match: `{}`},
		"Name":          {why: "another name", match: `{"any": [{"resources": {"kinds": ["Deployment"], "names": ["a", "b*"]}}]}`},
		"All":           {why: "all have to hold", match: `{"all": [{"resources": {"kinds": ["Deployment"]}}, {"resources": {"selector": {"matchLabels": {"app": "other"}}}}]}`},
		"Selector":      {why: "labels with wildcards", match: `{"all": [{"resources": {"selector": {"matchLabels": {"app": "sh*"}}}}]}`, want: true},
		"Annotations":   {why: "an annotation that is not there", match: `{"any": [{"resources": {"annotations": {"a": "*"}}}]}`},
		"Operations":    {why: "another operation", match: `{"any": [{"resources": {"kinds": ["*"], "operations": ["DELETE"]}}]}`},
		"Excluded":      {why: "what is excluded is out", match: `{"any": [{"resources": {"kinds": ["*"]}}]}`, exclude: `{"any": [{"resources": {"namespaces": ["web"]}}]}`},
		"ExcludedAll":   {why: "all exclusions have to hold", match: `{"any": [{"resources": {"kinds": ["*"]}}]}`, exclude: `{"all": [{"resources": {"namespaces": ["web"]}}, {"resources": {"names": ["x"]}}]}`, want: true},
		"Nobody":        {why: "a rule about some users is about nobody's request", match: `{"any": [{"resources": {"kinds": ["*"]}, "subjects": [{"kind": "User", "name": "ada"}]}]}`, want: true},
		"ExcludeNobody": {why: "but nobody is excluded for who he is", match: `{"any": [{"resources": {"kinds": ["*"]}}]}`, exclude: `{"any": [{"subjects": [{"kind": "User", "name": "*"}]}]}`, want: true},
		"User":          {why: "somebody else", match: `{"any": [{"resources": {"kinds": ["*"]}, "subjects": [{"kind": "User", "name": "ada"}]}]}`, change: func(r *ruling.Request) { r.User = &ruling.User{Name: "bob"} }},
		"Namespace":     {why: "labels of the namespace", match: `{"any": [{"resources": {"kinds": ["*"], "namespaceSelector": {"matchLabels": {"env": "prod"}}}}]}`, want: true},
		"Unknown":       {why: "labels that are not known are not let through", match: `{"any": [{"resources": {"kinds": ["*"], "namespaceSelector": {"matchLabels": {"env": "prod"}}}}]}`, change: func(r *ruling.Request) { r.NamespaceUnknown = true }, unknown: true},
		"UnknownElse":   {why: "unless it does not depend on them", match: `{"any": [{"resources": {"kinds": ["Pod"], "namespaceSelector": {"matchLabels": {"env": "prod"}}}}]}`, change: func(r *ruling.Request) { r.NamespaceUnknown = true }},
		"UnknownOut":    {why: "an exclusion by them does not let through either", match: `{"any": [{"resources": {"kinds": ["*"]}}]}`, exclude: `{"any": [{"resources": {"namespaceSelector": {"matchLabels": {"env": "dev"}}}}]}`, change: func(r *ruling.Request) { r.NamespaceUnknown = true }, unknown: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			request := ruling.Request{Operation: "CREATE", NamespaceLabels: map[string]string{"env": "prod"}, Object: map[string]any{
				"apiVersion": "apps/v1", "kind": "Deployment",
				"metadata": map[string]any{"name": "web", "namespace": "web", "labels": map[string]any{"app": "shop"}},
			}}
			if tc.change != nil {
				tc.change(&request)
			}
			var include match.Block
			if err := json.Unmarshal([]byte(tc.match), &include); err != nil {
				t.Fatal(err)
			}
			var exclude *match.Block
			if tc.exclude != "" {
				if err := json.Unmarshal([]byte(tc.exclude), &exclude); err != nil {
					t.Fatal(err)
				}
			}
			got, err := match.Rule(include, exclude, request)
			if got != tc.want && !tc.unknown || errors.Is(err, match.ErrNamespaceUnknown) != tc.unknown {
				t.Errorf("%s: %t, %v", tc.why, got, err)
			}
		})
	}
}
