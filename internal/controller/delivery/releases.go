package delivery

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/pipeline/settle"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/witness"
)

// Annotations of a unit that steer its releases, and by which people ask for something. They are ours
// alone: a unit without them is judged by the controller's settings.
const (
	annotationRollback    = "holdfast.dev/rollback"     // disabled: leave a failed release in the cluster
	annotationBake        = "holdfast.dev/bake"         // how long a release has to stay healthy to be good
	annotationForwardOnly = "holdfast.dev/forward-only" // "true": there is no way back

	annotationAllowed = "holdfast.dev/allow-delete" // what may be deleted that is spared otherwise

	AnnotationRetry       = "holdfast.dev/retry"        // a token: try once more what is held
	AnnotationRollBack    = "holdfast.dev/roll-back"    // a token: go back to an older release
	AnnotationRollBackTo  = "holdfast.dev/roll-back-to" // its number; empty is the good one before
	AnnotationReason      = "holdfast.dev/reason"       // why somebody asks
	AnnotationRequestedBy = "holdfast.dev/requested-by" // who asks, as his client says
)

// Releases are how units' releases are judged where a unit does not say otherwise.
type Releases struct {
	// NoRollback leaves failed releases in the cluster.
	NoRollback bool
	// Bake is how long a release has to stay healthy to be good; negative is no time at all, and 0
	// means a minute.
	Bake time.Duration
}

const defaultBake = time.Minute

// Apply adds to a job how its releases are judged, and what people ask for.
func (r Releases) Apply(job *pipeline.Job, annotations map[string]string) error {
	job.Policy = settle.Policy{Disabled: r.NoRollback, Bake: r.Bake}
	switch {
	case r.Bake == 0:
		job.Policy.Bake = defaultBake
	case r.Bake < 0:
		job.Policy.Bake = 0
	}
	switch value := annotations[annotationRollback]; strings.ToLower(value) {
	case "":
	case "disabled":
		job.Policy.Disabled = true
	case "enabled":
		job.Policy.Disabled = false
	default:
		return wrongAnnotation(annotationRollback, value, "enabled or disabled")
	}
	if value := annotations[annotationForwardOnly]; value != "" {
		only, err := strconv.ParseBool(value)
		if err != nil {
			return wrongAnnotation(annotationForwardOnly, value, "true or false")
		}
		job.Policy.ForwardOnly = only
	}
	if value := annotations[annotationBake]; value != "" {
		bake, err := time.ParseDuration(value)
		if err != nil || bake < 0 {
			return wrongAnnotation(annotationBake, value, "a duration such as 2m")
		}
		job.Policy.Bake = bake
	}
	job.Allowed = annotations[annotationAllowed]
	job.Retry = requestOf(annotations, AnnotationRetry)
	if job.Back = requestOf(annotations, AnnotationRollBack); job.Back == nil {
		return nil
	}
	if value := annotations[AnnotationRollBackTo]; value != "" {
		to, err := strconv.ParseInt(value, 10, 64)
		if err != nil || to < 1 {
			return wrongAnnotation(AnnotationRollBackTo, value, "the number of a release")
		}
		job.To = to
	}
	return nil
}

func wrongAnnotation(name, value, want string) error {
	return fault.Stall(meta.ReconciliationFailedReason, fmt.Errorf("annotation %s is %q: it must be %s", name, value, want))
}

// requestOf reads what somebody asks for by an annotation that holds a token.
func requestOf(annotations map[string]string, annotation string) *release.Request {
	token := annotations[annotation]
	if token == "" {
		return nil
	}
	return &release.Request{
		Token: annotation + "=" + token, By: annotations[AnnotationRequestedBy], Reason: annotations[AnnotationReason],
	}
}

// Prove names who asks as a witness saw him, where there is one: an annotation holds what his client claims.
func Prove(job *pipeline.Job, about record.Subject, seen *witness.Book) {
	for _, asked := range []*release.Request{job.Retry, job.Back} {
		if asked == nil {
			continue
		}
		if who := seen.Who(about, asked.Token); who != "" {
			asked.By, asked.Proven = who, true
		}
	}
}

// WishesDiffer tells whether annotations ask for something else than before.
func WishesDiffer(before, after map[string]string) bool {
	for _, name := range []string{
		annotationRollback, annotationBake, annotationForwardOnly, AnnotationRetry, AnnotationRollBack, AnnotationRollBackTo,
	} {
		if before[name] != after[name] {
			return true
		}
	}
	return false
}
