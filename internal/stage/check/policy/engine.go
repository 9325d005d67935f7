package policy

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check/policy/admission"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno"
)

// Live is what is known of a cluster, kept up to date by whoever gives it.
type Live interface {
	// Policies returns the policies that live in the cluster and the version of that answer. An error
	// says that they are not known yet.
	Policies(ctx context.Context) (objects []object.Object, version string, err error)
	// Namespace returns a namespace as the cluster has it.
	Namespace(name string) (namespace map[string]any, found bool)
	// Mutates tells whether Kyverno's changing rules are in force in the cluster.
	Mutates() bool
	// Of tells whether this is the cluster that objects go to.
	Of(cluster *kube.Cluster) bool
}

// Options say how policies are evaluated.
type Options struct {
	// Live is nil where there is no cluster to follow.
	Live Live
	// ExceptionNamespaces are those whose exceptions are honoured; an asterisk is all. Empty is
	// flux-system and kyverno: whoever may write an exception may do what it allows.
	ExceptionNamespaces []string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Engine judges by policies. It is safe for concurrent use.
type Engine struct {
	options Options
	native  *admission.Expressions
	kyverno *kyverno.Engine

	mu       sync.Mutex
	compiled map[object.Digest]any
	living   *collection // of version
	version  string
}

// maxCompiled bounds what is remembered of compiled policies; they are forgotten all at once beyond it.
const maxCompiled = 2000

// New returns an engine.
func New(options Options) (*Engine, error) {
	if len(options.ExceptionNamespaces) == 0 {
		options.ExceptionNamespaces = []string{"flux-system", "kyverno"}
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	native, err := admission.NewExpressions()
	if err != nil {
		return nil, err
	}
	engine, err := kyverno.NewEngine()
	if err != nil {
		return nil, err
	}
	return &Engine{options: options, native: native, kyverno: engine, compiled: map[object.Digest]any{}}, nil
}

// remember compiles a policy once for each of its texts.
func remember[T any](e *Engine, one object.Object, compile func() (T, error)) (T, error) {
	e.mu.Lock()
	found, ok := e.compiled[one.Digest].(T)
	e.mu.Unlock()
	if ok {
		return found, nil
	}
	fresh, err := compile()
	if err != nil {
		return fresh, fmt.Errorf("reading the policy: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.compiled) >= maxCompiled {
		clear(e.compiled)
	}
	e.compiled[one.Digest] = fresh
	return fresh, nil
}

// live returns the policies of the cluster.
func (e *Engine) live(ctx context.Context) (*collection, error) {
	objects, version, err := e.options.Live.Policies(ctx)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	found, same := e.living, e.version == version && e.living != nil
	e.mu.Unlock()
	if same {
		return found, nil
	}
	found = e.collect(objects, e.options.Now())
	e.mu.Lock()
	defer e.mu.Unlock()
	e.living, e.version = found, version
	return found, nil
}

// Version implements check.Versioned: a verdict holds until a policy changes.
func (e *Engine) Version(object.Owner) string {
	if e.options.Live == nil {
		return ""
	}
	_, version, err := e.options.Live.Policies(context.Background())
	if err != nil {
		return "unknown"
	}
	return version
}

// namespace is what is known of the namespace that an object is in.
type namespace struct {
	object  map[string]any
	labels  map[string]string
	unknown bool
}

// clone keeps labels apart from those of the object.
func (n namespace) clone() map[string]string { return maps.Clone(n.labels) }
