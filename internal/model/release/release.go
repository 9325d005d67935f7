package release

import (
	"time"

	"holdfast.dev/holdfast/internal/model/object"
)

// Verdict says what became of a release.
type Verdict string

// The verdicts. Where a newer release follows one that is still Pending, that one was superseded.
const (
	// Pending: begun, and not judged yet. Its objects are being written, or they are being watched.
	Pending Verdict = "Pending"
	// Good: every object was applied and healthy, and stayed so for the bake time.
	Good Verdict = "Good"
	// Rejected: nothing of it was written.
	Rejected Verdict = "Rejected"
	// Failed: it was written and is not good, and nothing was rolled back; Note says why not.
	Failed Verdict = "Failed"
	// RollingBack: the objects of release Target are being written again.
	RollingBack Verdict = "RollingBack"
	// RolledBack: the cluster is on release Target again, and healthy. Git's wish is held.
	RolledBack Verdict = "RolledBack"
	// RollbackFailed: neither this release nor release Target could be made healthy.
	RollbackFailed Verdict = "RollbackFailed"
)

// Trigger says what ended a release badly.
type Trigger string

// The triggers (rollback.md: what triggers a rollback).
const (
	ApplyError Trigger = "ApplyError" // an object was refused after others had been written
	Unhealthy  Trigger = "Unhealthy"  // an object failed for good
	TimedOut   Trigger = "TimedOut"   // objects did not become healthy in time
	Regressed  Trigger = "Regressed"  // objects became unhealthy during the bake
	Manual     Trigger = "Manual"     // a person asked
	HookFailed Trigger = "HookFailed" // what had to run before or after it did not come to a good end
	TestFailed Trigger = "TestFailed" // its own tests speak against it
)

// Request is what a person asked for. Token tells one request from the next.
type Request struct {
	Token string `json:"token"`
	By    string `json:"by,omitempty"`
	// Proven says that By is whom the API server authenticated; otherwise it is what his client said.
	Proven bool   `json:"proven,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Automatic says that nobody asked: the unit's own settings do.
	Automatic bool `json:"automatic,omitempty"`
}

// Filing is how the ledger of others knows what was done: Helm counts revisions of its own.
type Filing struct {
	Revision int    `json:"revision,omitempty"`
	Action   string `json:"action,omitempty"` // install, upgrade or rollback
	// Closed says that the end is written there, too.
	Closed bool `json:"closed,omitempty"`
}

// Run is one run of a hook.
type Run struct {
	Moment string     `json:"moment"`
	Ref    object.Ref `json:"ref"`
	Began  time.Time  `json:"began,omitzero"`
	Ended  time.Time  `json:"ended,omitzero"`
	Failed bool       `json:"failed,omitempty"`
}

// Label is what a release is called in Git: the revision that it was first tried for.
type Label struct {
	Revision string `json:"revision,omitempty"`
	Origin   string `json:"origin,omitempty"` // what an OCI artifact was made of
	Author   string `json:"author,omitempty"`
	Title    string `json:"title,omitempty"`
}

// Counts are how many objects a release changed.
type Counts struct {
	Objects    int `json:"objects"` // in the set
	Created    int `json:"created,omitempty"`
	Configured int `json:"configured,omitempty"`
	Deleted    int `json:"deleted,omitempty"`
}

// Stage is how long a stage took.
type Stage struct {
	Name string        `json:"name"`
	Took time.Duration `json:"took"`
}

// Release is one attempt to bring a unit to a fingerprint. It holds no values of objects.
type Release struct {
	// Number counts a unit's releases from 1.
	Number      int64  `json:"number"`
	Fingerprint string `json:"fingerprint,omitempty"` // of objects and apply options; empty where nothing could be rendered
	Label       Label  `json:"label,omitzero"`

	Verdict Verdict `json:"verdict"`
	Trigger Trigger `json:"trigger,omitempty"`
	Cause   string  `json:"cause,omitempty"` // what went wrong, for people
	Note    string  `json:"note,omitempty"`  // why it was not rolled back, or what the rollback left over

	Begun   time.Time `json:"begun,omitzero"`
	Ended   time.Time `json:"ended,omitzero"` // when the verdict was reached
	Decided time.Time `json:"decided,omitzero"`

	// Target is the release that was gone back to; 0 is none.
	Target int64 `json:"target,omitempty"`
	// Frozen says that nothing further is tried until a person asks for it.
	Frozen bool `json:"frozen,omitempty"`
	// Baseline names objects that were unhealthy before this release. They do not count against it.
	Baseline []object.Ref `json:"baseline,omitempty"`
	// Made names objects that this release created.
	Made []object.Ref `json:"made,omitempty"`
	// ForwardOnly says why there is no way back; empty where there is one.
	ForwardOnly string `json:"forwardOnly,omitempty"`

	Counts Counts  `json:"counts,omitzero"`
	Stages []Stage `json:"stages,omitempty"`
	// Filed is how a ledger knows the release, and Back how it knows its undoing.
	Filed Filing `json:"filed,omitzero"`
	Back  Filing `json:"back,omitzero"`
	// Runs are the hooks that ran for it, or are running.
	Runs    []Run    `json:"runs,omitempty"`
	Request *Request `json:"request,omitempty"` // the person's wish that it was begun for, or rolled back for
}

// Written tells whether something of the release may be in the cluster.
func (r Release) Written() bool { return r.Verdict != Rejected }

// Undone tells whether the release was taken back, or is being.
func (r Release) Undone() bool {
	return r.Verdict == RollingBack || r.Verdict == RolledBack || r.Verdict == RollbackFailed
}

// Answers tells whether the release came of, or was ended by, a request.
func (r Release) Answers(token string) bool { return r.Request != nil && r.Request.Token == token }
