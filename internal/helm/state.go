package helm

import (
	"fmt"

	helmcommon "helm.sh/helm/v4/pkg/release/common"

	"holdfast.dev/holdfast/internal/helm/storage"
)

// Known is the newest record as we wrote it last; its version is 0 where we wrote none.
type Known struct {
	Version int
	Status  string
}

// State is how Helm's storage stands against what we know.
type State string

// The states (flux-contract 3.2).
const (
	// InSync: the newest record is the one that we wrote.
	InSync State = "InSync"
	// Absent: there is no record, or the release was uninstalled by somebody.
	Absent State = "Absent"
	// Locked: an action that nobody carries out any more has left a record pending.
	Locked State = "Locked"
	// Unmanaged: there is a release that we know nothing of.
	Unmanaged State = "Unmanaged"
	// OutOfSync: somebody else has made a newer record, or changed ours.
	OutOfSync State = "OutOfSync"
)

// StateOf compares the records of a release, newest first, with what we know. Busy says that we are in
// the middle of an action ourselves, so that a pending record is ours.
func StateOf(heads []storage.Head, known Known, busy bool) State {
	if len(heads) == 0 {
		return Absent
	}
	newest := heads[0]
	switch {
	case newest.Status == helmcommon.StatusUninstalled || newest.Status == helmcommon.StatusUninstalling:
		return Absent
	case known.Version == 0 && !newest.Status.IsPending():
		return Unmanaged
	case busy && (newest.Version == known.Version || newest.Status.IsPending()):
		return InSync
	case newest.Status.IsPending():
		return Locked
	case newest.Version != known.Version || newest.Status.String() != known.Status:
		return OutOfSync
	default:
		return InSync
	}
}

// Again says why a release is to be made once more although nothing of it changed, and "" where it is not:
// its records are not ours. The token is the same as long as the records are.
func Again(heads []storage.Head, known Known, busy bool) (token, why string) {
	at := "none"
	if len(heads) > 0 {
		at = fmt.Sprintf("%d.%s", heads[0].Version, heads[0].Status)
	}
	token = "helm-storage=" + at
	switch StateOf(heads, known, busy) {
	case Absent:
		return token, "no release in Helm's storage: somebody has uninstalled it"
	case Locked:
		return token, fmt.Sprintf("revision %d was left %s", heads[0].Version, heads[0].Status)
	case Unmanaged:
		return token, fmt.Sprintf("revision %d was made by somebody else", heads[0].Version)
	case OutOfSync:
		return token, fmt.Sprintf("Helm's storage has revision %d, %s; ours is revision %d, %s", heads[0].Version, heads[0].Status, known.Version, known.Status)
	default:
		return "", ""
	}
}
