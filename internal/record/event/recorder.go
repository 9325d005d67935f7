package event

import (
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/reference"
)

// writer writes Kubernetes events. client-go's record.EventRecorder is one.
type writer interface {
	AnnotatedEventf(about runtime.Object, annotations map[string]string, kind, reason, format string, args ...any)
}

// Taker takes events. It must not block.
type Taker func(Event)

// Options say how a Recorder introduces itself. All fields but Now are required.
type Options struct {
	Kubernetes writer
	Scheme     *runtime.Scheme
	// Controller is the name that receivers know, "kustomize-controller", and Instance that of the host.
	Controller, Instance string
	Take                 Taker
	Now                  func() time.Time // nil means time.Now
}

// Recorder writes what a controller says as a Kubernetes event, and hands it on as an Event.
type Recorder struct{ Options }

// New makes a Recorder.
func New(options Options) *Recorder {
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Recorder{options}
}

// AnnotatedEventf records an event. What the object has to say by annotations of the events' group
// goes along, as Flux does it.
func (r *Recorder) AnnotatedEventf(about runtime.Object, annotations map[string]string, kind, reason, format string, args ...any) {
	r.Kubernetes.AnnotatedEventf(about, annotations, kind, reason, format, args...)
	involved, err := reference.GetReference(r.Scheme, about)
	if err != nil {
		return // the Kubernetes recorder has said so in the log
	}
	severity := Info
	if kind == corev1.EventTypeWarning {
		severity = Error
	}
	r.Take(Event{
		InvolvedObject:      *involved,
		Severity:            severity,
		Timestamp:           metav1.NewTime(r.Now()),
		Message:             shortened(fmt.Sprintf(format, args...)),
		Reason:              reason,
		Metadata:            metadata(about, annotations),
		ReportingController: r.Controller,
		ReportingInstance:   r.Instance,
	})
}

// metadata joins what the controller says with what the object's annotations add. The controller's
// own words win.
func metadata(about runtime.Object, said map[string]string) map[string]string {
	all := map[string]string{}
	if object, err := meta.Accessor(about); err == nil {
		for key, value := range object.GetAnnotations() {
			if strings.HasPrefix(key, Group+"/") {
				all[key] = value
			}
		}
	}
	maps.Copy(all, said)
	if len(all) == 0 {
		return nil
	}
	return all
}
