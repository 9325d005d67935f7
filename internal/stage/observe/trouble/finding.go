package trouble

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Reason says in one word what keeps a workload from coming up.
type Reason string

// The reasons.
const (
	ImagePull Reason = "ImagePull" // an image cannot be had
	CrashLoop Reason = "CrashLoop" // a container crashes again and again
	Container Reason = "Container" // a container cannot be made: its configuration or command is wrong
	Quota     Reason = "Quota"     // a quota leaves no room for the Pods
	Refused   Reason = "Refused"   // the server or an admission policy refuses the Pods
)

// Finding is what keeps a workload from coming up, for good as far as anybody can tell.
type Finding struct {
	Reason  Reason
	Message string
}

// Key names a workload.
type Key struct{ Kind, Namespace, Name string }

// How long something has to last until it counts.
const (
	// refusedWindow is for what the server refuses: the workload's controller tries again several
	// times in it, and what the Pods need, an account or a quota's first count, may just be on its way.
	refusedWindow = 3 * time.Second
	// drainWindow is for a quota that is full while Pods of before are still there: an update may need
	// them to end first.
	drainWindow = time.Minute
	// suppliedWindow is for what somebody else may still supply: a kubelet looks again every ten to
	// fifteen seconds whether a missing Secret or ConfigMap has come.
	suppliedWindow = 20 * time.Second
	// doubtWindow is for a failed pull of which nobody can say whether the image or the way to it is bad.
	doubtWindow = 30 * time.Second
	// calmWindow is how long a container has to stay ready after a crash loop until that is over.
	// Without it, one that has no probe would be well after each restart.
	calmWindow = 10 * time.Second
	// crashLimit is the number of restarts from which a crash loop counts.
	crashLimit = 3
	// eventAge is how old a listed Event may be to tell something of a workload seen for the first time.
	eventAge = time.Minute
	// clockSkew is how far the clocks of the cluster may be behind ours.
	clockSkew = 2 * time.Second
)

// Workload is what has to be known of an object that runs Pods.
type Workload struct {
	Key
	UID        types.UID
	Generation int64
	// Revision marks the Pods of the newest generation, in the words of the kind.
	Revision string
	// Observed tells that the workload's controller has seen the newest generation.
	Observed bool
	// Since is when we saw this generation first; zero where nothing was known before.
	Since time.Time
	// Refusal is what the workload's own conditions say of Pods that may not be created.
	Refusal string
	// Draining tells that Pods of before are still there and may go.
	Draining bool
	// RefusedSince is when we saw the Refusal first.
	RefusedSince time.Time
}

// Follow takes over from what was known of the workload before since when its state is what it is.
func (w *Workload) Follow(before *Workload, now time.Time) {
	same := before != nil && before.UID == w.UID
	switch {
	case !same:
	case before.Generation == w.Generation:
		w.Since = before.Since
	default:
		w.Since = now
	}
	if w.Refusal == "" {
		return
	}
	w.RefusedSince = now
	if same && before.Generation == w.Generation && before.Refusal != "" {
		w.RefusedSince = before.RefusedSince
	}
}

// refused is the finding by the workload's own conditions.
func (w *Workload) refused(now time.Time) (Finding, time.Time) {
	reason, lasting := refusal(w.Refusal)
	if !lasting {
		return Finding{}, time.Time{}
	}
	window := refusedWindow
	switch {
	case awaitsAccount(w.Refusal):
		window = suppliedWindow
	case reason == Quota && w.Draining:
		window = drainWindow
	}
	ripe := w.RefusedSince.Add(window)
	if now.Before(ripe) {
		return Finding{}, ripe
	}
	return Finding{Reason: reason, Message: "Pods are refused: " + tidy(w.Refusal)}, time.Time{}
}
