package plaintext_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/check/plaintext"
)

func TestJudge(t *testing.T) {
	const head = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: keys\n"
	cases := map[string]struct {
		why, in string
		hidden  []redact.Text
		want    string // the keys
	}{
		"Plain":       {why: "values in Git", in: head + "data: {a: aHVudGVyMg==, b: aHVudGVyMw==}", want: "a, b"},
		"Texts":       {why: "in either form", in: head + "stringData: {a: hunter2}", want: "a"},
		"Encrypted":   {why: "what SOPS encrypted is none", in: head + "data: {a: 'ENC[AES256_GCM,data:x]'}"},
		"Decrypted":   {why: "nor what was encrypted before the build", in: head + "data: {a: aHVudGVyMg==}", hidden: []redact.Text{"hunter2"}},
		"Substituted": {why: "nor what holds a value from a Secret", in: head + "stringData: {a: 'user:hunter2@host'}", hidden: []redact.Text{"hunter2"}},
		"Variable":    {why: "nor a variable that is filled in elsewhere", in: head + "stringData: {a: '${password}'}"},
		"Empty":       {why: "nor nothing", in: head + "data: {a: ''}"},
		"Annotated":   {why: "a reason allows it", in: head + "  annotations: {holdfast.dev/allow-plain-secret: for a demo}\ndata: {a: aHVudGVyMg==}"},
		"Commented":   {why: "in a comment, too", in: head + "data:\n  a: aHVudGVyMg== # holdfast:allow-secret for a demo\n"},
		"Unreasoned":  {why: "but not without one", in: head + "data:\n  a: aHVudGVyMg== # holdfast:allow-secret\n", want: "a"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(tc.in), &u.Object); err != nil {
				t.Fatal(err)
			}
			one, err := object.New(u, "a.yaml")
			if err != nil {
				t.Fatal(err)
			}
			found, err := plaintext.Judge{}.Judge(t.Context(), check.Set{
				Objects: []object.Object{one}, Hidden: tc.hidden, Read: func(string) ([]byte, error) { return []byte(tc.in), nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			text := finding.Lines(found)
			if (text != "") != (tc.want != "") || !strings.Contains(text, tc.want) {
				t.Errorf("%s: %q", tc.why, text)
			}
			if strings.Contains(text, "hunter") || strings.Contains(text, "aHVu") {
				t.Errorf("%s: the value is told: %s", tc.why, text)
			}
		})
	}
}
