package pipeline

import (
	"errors"
	"testing"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/render"
)

func TestMask(t *testing.T) {
	hidden := secrets{revealed: []redact.Text{"opened"}, variables: render.Variables{
		Values: map[string]string{"token": `ab"c`, "longer": `ab"cd`, "color": "blue", "empty": ""},
		Secret: map[string]bool{"token": true, "longer": true, "empty": true, "color": false},
	}}
	cases := map[string]struct{ why, in, want string }{
		"Plain":   {why: "as it is", in: `value ab"c is bad`, want: "value (secret) is bad"},
		"Quoted":  {why: "as servers write it", in: `unsupported value: "ab\"c"`, want: `unsupported value: "(secret)"`},
		"Encoded": {why: "as Secrets hold it", in: "data: YWIiYw==", want: "data: (secret)"},
		"Longer":  {why: "a value that begins with another leaves no rest", in: `ab"cd`, want: "(secret)"},
		"Opened":  {why: "and what was decrypted", in: "b3BlbmVk is opened", want: "(secret) is (secret)"},
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
