package source

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/record"
)

// FieldOwner is the manager of the fields that we write, as Flux names it.
const FieldOwner = "source-controller"

// Object is an object of a source's kind.
type Object interface {
	client.Object
	// GetRequeueAfter returns the interval of the spec.
	GetRequeueAfter() time.Duration
}

// Kind is what one kind of source adds to what all have in common. T is its type, and F what its runs have
// to tell beyond an Outcome.
type Kind[T Object, F any] struct {
	// Name is the kind's name, "OCIRepository".
	Name string
	// Empty makes an empty object.
	Empty func() T
	// Parts finds in an object what all sources have.
	Parts func(T) Parts
	// Run brings the artifact up to date with the remote. It gets an Outcome with the artifact that is
	// served and returns it with what came of the run; it must not change the object.
	Run func(ctx context.Context, object T, o Outcome[F]) Outcome[F]
	// Observe writes to the status what this kind alone has there. It is called with every outcome; what
	// the artifact was made with may only be noted where there is no error. nil does nothing.
	Observe func(object T, o Outcome[F])
	Words   Words[T, F]
}

// Parts are the fields of an object that all sources have. The pointers lead into the object.
type Parts struct {
	// Spec is what a digest is recorded of when it changes.
	Spec any
	// Suspended and Verified tell what the spec asks for: to be left alone, and signatures.
	Suspended, Verified bool

	Conditions         *[]metav1.Condition
	Artifact           **meta.Artifact
	ObservedGeneration *int64
	Requests           *meta.ReconcileRequestStatus
}

// Words are how a kind says things. A word that is nil is said as most kinds of Flux say it.
type Words[T Object, F any] struct {
	// Stored is the state of the conditions Ready and ArtifactInStorage of an object that is well.
	Stored func(T, Outcome[F]) Text
	// Newer says that the remote holds something else than the artifact.
	Newer func(T, Outcome[F]) string
	// Told is the event about a new artifact, or about one that is well again.
	Told func(T, Outcome[F]) string
	// UpToDate answers a person who asked for a look that found nothing new.
	UpToDate func(T, Outcome[F]) Text
}

// Text is a reason, a CamelCase word, and one sentence for people.
type Text struct{ Reason, Message string }

func (w Words[T, F]) stored(object T, o Outcome[F]) Text {
	if w.Stored != nil {
		return w.Stored(object, o)
	}
	return Text{meta.SucceededReason, fmt.Sprintf("stored artifact: revision '%s'", o.Artifact.Revision)}
}

func (w Words[T, F]) newer(object T, o Outcome[F]) string {
	if w.Newer != nil {
		return w.Newer(object, o)
	}
	return fmt.Sprintf("new upstream revision '%s'", o.Revision.Name)
}

func (w Words[T, F]) told(object T, o Outcome[F]) string {
	if w.Told != nil {
		return w.Told(object, o)
	}
	return w.stored(object, o).Message
}

func (w Words[T, F]) upToDate(object T, o Outcome[F]) Text {
	if w.UpToDate != nil {
		return w.UpToDate(object, o)
	}
	return Text{sourcev1.ArtifactUpToDateReason, fmt.Sprintf("artifact up-to-date with remote revision: '%s'", o.Artifact.Revision)}
}

// Outcome is what one run came to. It is complete also when the run failed.
type Outcome[F any] struct {
	// Artifact is what is served now: a new one, or the one before; nil where there is none.
	Artifact *meta.Artifact
	// Damaged says why the artifact in the status cannot be served any more; nil where it can.
	Damaged error
	// Revision is what the remote holds; its name is empty where that is not known. What else is known of
	// it is told with a new artifact.
	Revision record.Revision
	// Made is when the revision was made, as its author says; zero where nobody does.
	Made time.Time
	// Verified says what was found to be signed and by whom, for people; empty where nothing was verified
	// in this run.
	Verified string
	// Condition names the condition that holds Err, for example FetchFailed.
	Condition string
	Err       error
	// Facts are what the kind alone has to tell.
	Facts F
}

// Failed returns the outcome with an error and the condition that shows it.
func (o Outcome[F]) Failed(condition string, err error) Outcome[F] {
	o.Condition, o.Err = condition, err
	return o
}

// reason returns the reason that conditions and events give for the error.
func (o Outcome[F]) reason() string { return fault.ReasonOf(o.Err, meta.FailedReason) }

// outdated tells whether the remote is known to hold something else than the artifact.
func (o Outcome[F]) outdated() bool {
	return o.Revision.Name != "" && !o.Artifact.HasRevision(o.Revision.Name)
}
