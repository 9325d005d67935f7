package pipeline

import (
	"context"
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/check"
)

func TestMask(t *testing.T) {
	written, err := object.New(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "keys", "namespace": "team"},
		"data": map[string]any{"a": "ZnJvbS1kYXRh"}, "stringData": map[string]any{"b": "from-string", "c": "team", "d": 80},
	}}, "")
	if err != nil {
		t.Fatal(err)
	}
	set, err := check.Again(t.Context(), anyKind{}, []object.Object{written})
	if err != nil {
		t.Fatal(err)
	}
	hidden := &unit{stood: numbered{number: 1, set: set}}
	hidden.secrets.reveal([]redact.Text{"opened-before"})
	hidden.secrets.vary([]redact.Text{"substituted-before"})
	hidden.secrets.reveal([]redact.Text{"opened"})
	hidden.secrets.vary([]redact.Text{`ab"c`, `ab"cd`})
	cases := map[string]struct{ why, in, want string }{
		"Plain":   {why: "as it is", in: `value ab"c is bad`, want: "value (secret) is bad"},
		"Quoted":  {why: "as servers write it", in: `unsupported value: "ab\"c"`, want: `unsupported value: "(secret)"`},
		"Encoded": {why: "as Secrets hold it", in: "data: YWIiYw==", want: "data: (secret)"},
		"Longer":  {why: "a value that begins with another leaves no rest", in: `ab"cd`, want: "(secret)"},
		"Opened":  {why: "and what was decrypted", in: "b3BlbmVk is opened", want: "(secret) is (secret)"},
		"Former":  {why: "what is gone back to was made of it", in: "opened-before and substituted-before", want: "(secret) and (secret)"},
		"Written": {why: "a Secret of an earlier release", in: "from-data, ZnJvbS1kYXRh, from-string", want: "(secret), (secret), (secret)"},
		"Names":   {why: "the name of a place is no secret", in: "Secret/team/keys", want: "Secret/team/keys"},
		"Others":  {why: "what is no secret stays readable", in: "blue", want: "blue"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out := hidden.mask(Outcome{Err: fault.Stall("Reason", errors.New(tc.in))})
			if out.Err.Error() != tc.want {
				t.Errorf("%s: %q, want %q", tc.why, out.Err, tc.want)
			}
			if fault.KindOf(out.Err) != fault.Stalled || fault.ReasonOf(out.Err, "") != "Reason" {
				t.Error("kind or reason is lost")
			}
		})
	}
}

// anyKind serves every kind.
type anyKind struct{}

func (anyKind) Map(context.Context, object.Ref) (kube.Mapping, error) {
	return kube.Mapping{Namespaced: true}, nil
}
