package pipeline

import (
	"errors"
	"testing"

	"holdfast.dev/holdfast/internal/model/fault"
)

func TestAlso(t *testing.T) {
	broken := fault.Stall("BuildFailed", errors.New("building ./apps: no"))
	refused := errors.New("ConfigMap/a apply failed")
	cases := map[string]struct {
		why        string
		main, more error
		want       string
		kind       fault.Kind
		reason     string
	}{
		"Nothing": {why: "drift was corrected", main: broken, want: "building ./apps: no", kind: fault.Stalled, reason: "BuildFailed"},
		"More":    {why: "what the unit is told first stays what it is about", main: broken, more: refused, want: "building ./apps: no\nkeeping what was applied before: ConfigMap/a apply failed", kind: fault.Stalled, reason: "BuildFailed"},
		"Same":    {why: "nothing is said twice", main: fault.Because("R", errors.New("two lines\nConfigMap/a apply failed")), more: refused, want: "two lines\nConfigMap/a apply failed", reason: "R"},
		"Alone":   {why: "it counts where nothing else is wrong", more: refused, want: "ConfigMap/a apply failed", reason: "ReconciliationFailed"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := also(tc.main, tc.more)
			if err.Error() != tc.want || fault.KindOf(err) != tc.kind || fault.ReasonOf(err, "") != tc.reason {
				t.Errorf("%s: %q, kind %d, reason %s", tc.why, err, fault.KindOf(err), fault.ReasonOf(err, ""))
			}
		})
	}
}
