package observe

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestCompile(t *testing.T) {
	tests := map[string]struct {
		why   string
		exprs []HealthExpr
		want  string // part of the error
	}{
		"None":        {why: "nothing to judge by"},
		"Good":        {why: "all three", exprs: []HealthExpr{{Group: "e.org", Current: "a == 1", Failed: "b", InProgress: "c"}}},
		"NoCurrent":   {why: "nothing could ever be healthy", exprs: []HealthExpr{{Group: "e.org", Failed: "a"}}, want: "current must be set"},
		"BadCurrent":  {why: "does not parse", exprs: []HealthExpr{{Group: "e.org", Current: "a =="}}, want: "healthCheckExprs[0]: current: CEL expression 'a =='"},
		"BadFailed":   {why: "does not parse", exprs: []HealthExpr{{Group: "e.org", Current: "a", Failed: ")"}}, want: "healthCheckExprs[0]: failed:"},
		"Twice":       {why: "which one should count?", exprs: []HealthExpr{{Group: "e.org", Kind: "W", Current: "a"}, {Group: "e.org", Kind: "W", Current: "b"}}, want: "healthCheckExprs[1]: W.e.org has a rule already"},
		"KindAndRest": {why: "a rule for a kind beside one for its group", exprs: []HealthExpr{{Group: "e.org", Kind: "W", Current: "a"}, {Group: "e.org", Current: "b"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(test.exprs)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got error %v, want %q: %s", err, test.want, test.why)
			}
		})
	}
}

func TestRuleForKindWins(t *testing.T) {
	judges, err := Compile([]HealthExpr{{Group: "e.org", Current: "a"}, {Group: "e.org", Kind: "W", Current: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	special, general := judges.of(schema.GroupKind{Group: "e.org", Kind: "W"}), judges.of(schema.GroupKind{Group: "e.org", Kind: "X"})
	if special == nil || general == nil || special == general {
		t.Errorf("got %p and %p", special, general)
	}
	if judges.of(schema.GroupKind{Group: "f.org", Kind: "W"}) != nil {
		t.Error("a rule reaches into another group")
	}
}

func TestJudge(t *testing.T) {
	rule := HealthExpr{
		Group:      "e.org",
		InProgress: "status.phase == 'Waiting'",
		Failed:     "has(status.error)",
		Current:    "status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')",
	}
	tests := map[string]struct {
		why, object string
		want        Status
		message     string
	}{
		"NoStatus": {
			why:    "a field that is not there yet decides nothing",
			object: `{apiVersion: e.org/v1, kind: W, metadata: {name: a}}`,
			want:   InProgress, message: "healthCheckExprs: inProgress: evaluating CEL expression 'status.phase == 'Waiting'': no such attribute(s): status.phase",
		},
		"OldGeneration": {
			why:    "the status is of a former generation",
			object: `{apiVersion: e.org/v1, kind: W, metadata: {name: a, generation: 2}, status: {observedGeneration: 1, phase: x, conditions: [{type: Ready, status: "True"}]}}`,
			want:   InProgress, message: "W generation is 2, but latest observed generation is 1",
		},
		"GenerationOfAnotherType": {
			why:    "some kinds keep a string there, which says nothing to us",
			object: `{apiVersion: e.org/v1, kind: W, metadata: {name: a, generation: 2}, status: {observedGeneration: "1", phase: x, conditions: [{type: Ready, status: "True"}]}}`,
			want:   Current, message: "healthCheckExprs: current is true",
		},
		"InProgressFirst": {
			why:    "inProgress is asked before failed",
			object: `{apiVersion: e.org/v1, kind: W, metadata: {name: a}, status: {phase: Waiting, error: bad}}`,
			want:   InProgress, message: "healthCheckExprs: inProgress is true",
		},
		"FailedSecond": {
			why:    "failed is asked before current",
			object: `{apiVersion: e.org/v1, kind: W, metadata: {name: a}, status: {phase: x, error: bad, conditions: [{type: Ready, status: "True"}]}}`,
			want:   Failed, message: "healthCheckExprs: failed is true",
		},
		"NotYet": {
			why:    "what is neither is on its way",
			object: `{apiVersion: e.org/v1, kind: W, metadata: {name: a}, status: {phase: x, conditions: [{type: Ready, status: "False"}]}}`,
			want:   InProgress, message: "healthCheckExprs: current is not true",
		},
	}
	judges, err := Compile([]HealthExpr{rule})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u := parse(t, test.object)
			status, message := judges.of(u.GroupVersionKind().GroupKind()).judge(t.Context(), u)
			if status != test.want || message != test.message {
				t.Errorf("got %s %q, want %s %q: %s", status, message, test.want, test.message, test.why)
			}
		})
	}
}
