package finding_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
)

var shop = object.Ref{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "web", Name: "shop"}

func TestString(t *testing.T) {
	cases := map[string]struct {
		why  string
		in   finding.Finding
		want string
	}{
		"Whole": {
			why: "object, field, what, where, rule, what to do",
			in: finding.Finding{
				Rule: "schema/type", Severity: finding.Error, Ref: shop, Path: "spec.replicas", File: "apps/web.yaml", Line: 12,
				Message: "wants an integer, not a string", Advice: "take the quotes off",
			},
			want: "Deployment/web/shop spec.replicas: wants an integer, not a string (apps/web.yaml:12) [schema/type]; take the quotes off",
		},
		"Bare":    {why: "what is not known leaves no gap", in: finding.Finding{Rule: "a/b", Severity: finding.Error, Message: "is bad"}, want: "is bad [a/b]"},
		"File":    {why: "a file without a line", in: finding.Finding{Rule: "a/b", Severity: finding.Error, File: "x.yaml", Message: "is bad"}, want: "is bad (x.yaml) [a/b]"},
		"Warning": {why: "what does not refuse says so", in: finding.Finding{Rule: "a/b", Severity: finding.Warning, Unit: "flux-system/apps", Message: "is odd"}, want: "warning: flux-system/apps is odd [a/b]"},
		"Lines":   {why: "a finding is a line, whatever a rule says", in: finding.Finding{Rule: "a/b", Severity: finding.Error, Message: "one\ntwo"}, want: "one two [a/b]"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.in.String(); got != tc.want {
				t.Errorf("%s: %q", tc.why, got)
			}
		})
	}
}

func TestSort(t *testing.T) {
	one := func(severity finding.Severity, file string, line int) finding.Finding {
		return finding.Finding{Rule: "a/b", Severity: severity, File: file, Line: line, Message: "m"}
	}
	got := finding.Sort([]finding.Finding{
		one(finding.Warning, "a", 1), one(finding.Error, "b", 9), one(finding.Error, "b", 10), one(finding.Error, "b", 9), one(finding.Error, "a", 3),
	})
	want := []finding.Finding{
		one(finding.Error, "a", 3), one(finding.Error, "b", 9), one(finding.Error, "b", 10), one(finding.Warning, "a", 1),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("errors first, in the order of files, each once (-want +got):\n%s", diff)
	}
	refusing, told := finding.Split(got)
	if len(refusing) != 3 || len(told) != 1 {
		t.Errorf("%d refuse and %d are told", len(refusing), len(told))
	}
}

func TestRefusedIsBounded(t *testing.T) {
	text := (&finding.Refused{Findings: make([]finding.Finding, 5000)}).Error()
	if lines := strings.Count(text, "\n") + 1; lines != 201 || !strings.HasSuffix(text, "and 4800 more findings") {
		t.Errorf("%d lines, the last is %q", lines, text[strings.LastIndex(text, "\n")+1:])
	}
}

func TestJSON(t *testing.T) {
	in := finding.Finding{Rule: "schema/type", Severity: finding.Error, Ref: shop, Path: "spec", File: "x", Line: 1, Message: "m", Advice: "a", Unit: "u"}
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out finding.Finding
	if err := json.Unmarshal(raw, &out); err != nil || out != in {
		t.Errorf("%s is read as %v %v", raw, out, err)
	}
	if raw, _ := json.Marshal(finding.Finding{Rule: "r", Severity: finding.Info, Message: "m"}); string(raw) != `{"rule":"r","severity":"info","message":"m"}` {
		t.Errorf("what is not known is left out: %s", raw)
	}
}
