package metric

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast.dev/holdfast/internal/record"
)

// Options shape a Set. The zero value is the right default.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Set is all metrics of one operator. It is safe for concurrent use.
type Set struct {
	registry *prometheus.Registry
	now      func() time.Time
	lag      func() time.Duration // of the audit log; nil measures nothing
	flux     fluxMetrics
	releases releaseMetrics
	objects  objectMetrics
	sources  sourceMetrics
	requests requestMetrics
	records  recordMetrics
	hooks    hookMetrics

	lock     sync.Mutex
	subjects map[record.Subject]*story
	seen     sightings
}

// New makes a Set with a registry of its own.
func New(options Options) *Set {
	s := &Set{
		registry: prometheus.NewRegistry(), now: options.Now,
		subjects: map[record.Subject]*story{}, seen: sightings{at: map[string]time.Time{}},
	}
	if s.now == nil {
		s.now = time.Now
	}
	f := factory{s.registry}
	s.flux = newFluxMetrics(f)
	s.releases = newReleaseMetrics(f)
	s.objects = newObjectMetrics(f)
	s.sources = newSourceMetrics(f)
	s.requests = newRequestMetrics(f)
	s.records = newRecordMetrics(f)
	s.hooks = newHookMetrics(f)
	return s
}

// Gather implements prometheus.Gatherer.
func (s *Set) Gather() ([]*metricFamily, error) {
	if s.lag != nil {
		s.records.auditLag.WithLabelValues().Set(s.lag().Seconds())
	}
	return s.registry.Gather()
}

// Register adds what is computed when it is asked for.
func (s *Set) Register(collector prometheus.Collector) error { return s.registry.Register(collector) }

// Forget drops the series of a unit or a source that is gone.
func (s *Set) Forget(subject record.Subject) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.forget(subject)
}

// Retain drops the series of all subjects of a kind that are gone, as exists says.
func (s *Set) Retain(kind string, exists func(namespace, name string) bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for subject := range s.subjects {
		if subject.Kind == kind && !exists(subject.Namespace, subject.Name) {
			s.forget(subject)
		}
	}
}

// forget does the work of Forget; the lock is held.
func (s *Set) forget(subject record.Subject) {
	delete(s.subjects, resource(subject))
	s.flux.duration.DeleteLabelValues(subject.Kind, subject.Name, subject.Namespace)
	s.releases.held.DeleteLabelValues(subject.Kind, subject.Namespace, subject.Name)
	s.releases.frozen.DeleteLabelValues(subject.Kind, subject.Namespace, subject.Name)
}

// story is what is known of a subject between its entries.
type story struct {
	begun    time.Time // the release that is under way
	rollback time.Time // the rollback that is under way
	live     string    // the revision whose way to the cluster has been measured
	good     string    // the revision whose way to its verdict has been measured
}

// resource names a subject by its resource alone, whichever cluster it delivers to.
func resource(subject record.Subject) record.Subject {
	return record.Subject{Kind: subject.Kind, Namespace: subject.Namespace, Name: subject.Name}
}

// storyOf returns the story of a subject; the lock is held.
func (s *Set) storyOf(subject record.Subject) *story {
	subject = resource(subject)
	one, found := s.subjects[subject]
	if !found {
		one = &story{}
		s.subjects[subject] = one
	}
	return one
}

// maxSightings bounds how many revisions are remembered.
const maxSightings = 4096

// sightings remembers when revisions were seen first, the newest of them.
type sightings struct {
	at    map[string]time.Time
	order []string
}

func (s *sightings) add(revision string, at time.Time) {
	if _, known := s.at[revision]; known || revision == "" {
		return
	}
	if len(s.order) == maxSightings {
		delete(s.at, s.order[0])
		s.order = s.order[1:]
	}
	s.at[revision] = at
	s.order = append(s.order, revision)
}
