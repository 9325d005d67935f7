package record

import (
	"context"
	"time"

	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
)

// Kind says what happened.
type Kind string

// The kinds. A mutation of a cluster has two entries: an intent before the first write (ReleaseBegun,
// RollbackBegun, DriftFound, Retiring) and an outcome after the last.
const (
	// Sources.
	RevisionSeen     Kind = "RevisionSeen"     // a source has a new artifact
	RevisionRejected Kind = "RevisionRejected" // its signature does not verify; the old artifact stays
	SourceFailed     Kind = "SourceFailed"     // a source cannot be reached or read; told once
	SourceRecovered  Kind = "SourceRecovered"

	// Releases.
	ReleaseBegun      Kind = "ReleaseBegun"      // intent: objects are about to be written
	ReleaseRejected   Kind = "ReleaseRejected"   // nothing was written
	ReleaseApplied    Kind = "ReleaseApplied"    // everything is in the cluster; health is still open
	ReleaseGood       Kind = "ReleaseGood"       // healthy, and stayed so
	ReleaseFailed     Kind = "ReleaseFailed"     // it was written, and is not good
	ReleaseSuperseded Kind = "ReleaseSuperseded" // a newer one took its place before its verdict
	RollbackBegun     Kind = "RollbackBegun"     // intent: the last good release is about to be written again
	RolledBack        Kind = "RolledBack"
	RollbackFailed    Kind = "RollbackFailed"
	Held              Kind = "Held"      // Git wants one fingerprint, the cluster is kept on another
	HoldEnded         Kind = "HoldEnded" // the reason says why
	Frozen            Kind = "Frozen"    // too many rollbacks: nothing is tried until a person acknowledges
	Thawed            Kind = "Thawed"

	// Objects.
	DriftFound     Kind = "DriftFound" // intent: what others changed is about to be set back
	DriftCorrected Kind = "DriftCorrected"
	Contested      Kind = "Contested" // a correction is put off: somebody keeps undoing it
	Pruned         Kind = "Pruned"
	Retiring       Kind = "Retiring" // intent: a unit goes, and its objects are about to be deleted
	Retired        Kind = "Retired"

	// People and settings.
	Requested  Kind = "Requested"  // a person asked for something: reconcile, retry, rollback, suspend, resume
	Configured Kind = "Configured" // the spec of a unit, a source or an alert is another one

	// The record itself.
	Gap     Kind = "Gap"     // entries were lost; the message says how many and why
	Sealed  Kind = "Sealed"  // old entries were dropped, and their hashes kept
	Signing Kind = "Signing" // a new key signs from here on

	Failed Kind = "Failed" // anything else that went wrong; told once for each message
)

// Subject is what an entry is about: a unit, a source, or another resource of ours.
type Subject struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Cluster names a remote cluster by its address; empty is the one we run in.
	Cluster string `json:"cluster,omitempty"`
}

// Actor is who caused what happened.
type Actor struct {
	Type ActorType `json:"type"`
	Name string    `json:"name,omitempty"`
	// Claimed says that a person's name is his own client's word: nobody proved it.
	Claimed bool `json:"claimed,omitempty"`
}

// ActorType says what sort of actor it is.
type ActorType string

// The types of actors.
const (
	Ourselves ActorType = "controller" // Holdfast, of its own accord
	Author    ActorType = "author"     // of a commit, as the commit says
	Person    ActorType = "person"     // as the API server authenticated him, unless it is claimed
	Manager   ActorType = "manager"    // a field manager in managedFields
)

// Revision is the state of a source that an entry belongs to.
type Revision struct {
	Name   string `json:"name,omitempty"`   // main@sha1:…
	Origin string `json:"origin,omitempty"` // what an OCI artifact was made of
	Author string `json:"author,omitempty"` // of the commit: "Name <address>"
	Title  string `json:"title,omitempty"`  // first line of the commit's message
	// Signature says who signed the commit, empty where nothing was verified.
	Signature string `json:"signature,omitempty"`
}

// Touched is an object that something was done to, or is about to be.
type Touched struct {
	Ref    object.Ref    `json:"ref"`
	Action object.Action `json:"action,omitempty"`
	// Fields are the paths that differed, for drift; never values.
	Fields []string `json:"fields,omitempty"`
	// By is the field manager that made the difference.
	By string `json:"by,omitempty"`
	// Digest is of what was written, "sha256:…".
	Digest string `json:"digest,omitempty"`
	// File is where the object came from.
	File string `json:"file,omitempty"`
}

// Stage is how long one stage of a release took.
type Stage struct {
	Name   string        `json:"name"`
	Took   time.Duration `json:"took"` // nanoseconds
	Failed bool          `json:"failed,omitempty"`
}

// Entry is one thing that happened.
type Entry struct {
	At      time.Time `json:"at"`
	Kind    Kind      `json:"kind"`
	Subject Subject   `json:"subject"`
	Actor   Actor     `json:"actor"`

	Revision Revision `json:"revision,omitzero"`
	// Release is the number of the release within its unit; 0 is none.
	Release     int64  `json:"release,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`

	// Reason is a CamelCase word, Message one sentence for people, free of secrets.
	Reason  string    `json:"reason,omitempty"`
	Message string    `json:"message,omitempty"`
	Objects []Touched `json:"objects,omitempty"`
	Stages  []Stage   `json:"stages,omitempty"`
	// Findings are what the gate had to say: why a release was rejected, or what it was let pass with.
	Findings []finding.Finding `json:"findings,omitempty"`
	// Details are further facts, by name: timings, counts, tokens of requests. No secrets.
	Details map[string]string `json:"details,omitempty"`
}

// Recorder takes entries. Record returns when the entry is kept, and an error only where it has to be
// kept and cannot: an act that it announces must then not follow. It is safe for concurrent use.
type Recorder interface {
	Record(ctx context.Context, entry Entry) error
}

// Func is a Recorder that is a function.
type Func func(ctx context.Context, entry Entry) error

// Record implements Recorder.
func (f Func) Record(ctx context.Context, entry Entry) error { return f(ctx, entry) }

// Several gives each entry to all recorders in order, and stops at the first that refuses it.
func Several(recorders ...Recorder) Recorder {
	return Func(func(ctx context.Context, entry Entry) error {
		for _, one := range recorders {
			if err := one.Record(ctx, entry); err != nil {
				return err
			}
		}
		return nil
	})
}

// Nowhere takes entries and keeps none.
func Nowhere() Recorder { return Func(func(context.Context, Entry) error { return nil }) }
