package helm_test

import (
	"testing"

	helmcommon "helm.sh/helm/v4/pkg/release/common"

	"holdfast.dev/holdfast/internal/helm"
	"holdfast.dev/holdfast/internal/helm/storage"
)

func TestStateOf(t *testing.T) {
	head := func(version int, status helmcommon.Status) storage.Head {
		return storage.Head{Version: version, Status: status}
	}
	ours := helm.Known{Version: 3, Status: "deployed"}
	cases := map[string]struct {
		why   string
		heads []storage.Head
		known helm.Known
		busy  bool
		want  helm.State
	}{
		"Nothing":     {why: "nobody has released it yet", want: helm.Absent},
		"InSync":      {why: "the newest record is ours", heads: []storage.Head{head(3, helmcommon.StatusDeployed), head(2, helmcommon.StatusSuperseded)}, known: ours, want: helm.InSync},
		"Uninstalled": {why: "helm uninstall --keep-history", heads: []storage.Head{head(3, helmcommon.StatusUninstalled)}, known: ours, want: helm.Absent},
		"Deleted":     {why: "helm uninstall", known: ours, want: helm.Absent},
		"Unmanaged":   {why: "helm install came before us", heads: []storage.Head{head(1, helmcommon.StatusDeployed)}, want: helm.Unmanaged},
		"Upgraded":    {why: "helm upgrade by hand", heads: []storage.Head{head(4, helmcommon.StatusDeployed), head(3, helmcommon.StatusSuperseded)}, known: ours, want: helm.OutOfSync},
		"Changed":     {why: "our record has another status", heads: []storage.Head{head(3, helmcommon.StatusFailed)}, known: ours, want: helm.OutOfSync},
		"Lock":        {why: "a crash left it pending, which stops helm for ever", heads: []storage.Head{head(4, helmcommon.StatusPendingUpgrade)}, known: ours, want: helm.Locked},
		"FirstLock":   {why: "also where it was the first", heads: []storage.Head{head(1, helmcommon.StatusPendingInstall)}, want: helm.Locked},
		"Busy":        {why: "our own action is under way", heads: []storage.Head{head(4, helmcommon.StatusPendingUpgrade)}, known: ours, busy: true, want: helm.InSync},
		"BusyAbsent":  {why: "its record is gone all the same", known: ours, busy: true, want: helm.Absent},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := helm.StateOf(tc.heads, tc.known, tc.busy); got != tc.want {
				t.Errorf("%s: %s, want %s", tc.why, got, tc.want)
			}
			_, why := helm.Again(tc.heads, tc.known, tc.busy)
			if (why == "") != (tc.want == helm.InSync) {
				t.Errorf("%s: made again because %q", tc.why, why)
			}
		})
	}
}
