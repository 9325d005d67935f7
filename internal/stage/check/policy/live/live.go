package live

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/kube/stream"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check/policy"
)

// patience bounds how long a judge waits for the first answers of the watches.
const patience = 30 * time.Second

// kyvernoWebhook is there while Kyverno changes what is admitted: it registers it itself.
const kyvernoWebhook = "kyverno-resource-mutating-webhook-cfg"

// Cluster is what is known of a cluster. It is safe for concurrent use.
type Cluster struct {
	cluster *kube.Cluster
	log     logr.Logger

	mu         sync.Mutex
	policies   map[schema.GroupKind]map[object.Ref]object.Object
	namespaces map[string]map[string]any
	webhooks   map[string]bool
	changes    int
	waiting    map[string]bool // watches that have not told anything yet
	started    bool            // all watches that there will be for now are among them
	settled    chan struct{}   // closed when nothing is waited for
	watched    map[schema.GroupKind]context.CancelFunc
}

// New returns what is to be known of a cluster. Nothing is watched before Start.
func New(cluster *kube.Cluster, log logr.Logger) *Cluster {
	return &Cluster{
		cluster: cluster, log: log, policies: map[schema.GroupKind]map[object.Ref]object.Object{},
		namespaces: map[string]map[string]any{}, webhooks: map[string]bool{}, waiting: map[string]bool{},
		settled: make(chan struct{}), watched: map[schema.GroupKind]context.CancelFunc{},
	}
}

// Start watches until ctx is done.
func (c *Cluster) Start(ctx context.Context) error {
	var parts sync.WaitGroup
	begin := func(name string, watch func()) {
		c.expect(name)
		parts.Add(1)
		go func() {
			defer parts.Done()
			watch()
		}()
	}
	begin("namespaces", func() { c.watchNamespaces(ctx) })
	begin("webhooks", func() { c.watchWebhooks(ctx) })
	begin("definitions", func() { c.watchDefinitions(ctx, &parts) })
	for _, ref := range policy.Kinds() {
		if ref.Group == "admissionregistration.k8s.io" {
			c.follow(ctx, ref, &parts)
		}
	}
	c.mu.Lock()
	c.started = true
	c.mu.Unlock()
	c.heard("")
	<-ctx.Done()
	parts.Wait()
	return nil
}

// follow watches a kind if the cluster serves it.
func (c *Cluster) follow(ctx context.Context, ref object.Ref, parts *sync.WaitGroup) {
	kind := ref.GVK().GroupKind()
	c.mu.Lock()
	_, already := c.watched[kind]
	c.mu.Unlock()
	if already {
		return
	}
	mapping, err := c.cluster.Map(ctx, ref)
	if err != nil {
		if !apimeta.IsNoMatchError(err) {
			c.log.Error(err, "a kind of policies cannot be watched", "kind", kind.String())
		}
		return
	}
	inner, cancel := context.WithCancel(ctx)
	c.mu.Lock()
	c.watched[kind] = cancel
	c.mu.Unlock()
	c.expect(kind.String())
	parts.Add(1)
	go func() {
		defer parts.Done()
		defer c.forget(kind)
		stream.Run(inner, c.cluster, stream.Target{Resource: mapping.Resource}, stream.Sink[object.Object]{
			Look:    look,
			Replace: func(items []stream.Item[object.Object], _ stream.Position) { c.replace(kind, items) },
			Put:     func(item stream.Item[object.Object]) { c.put(kind, item.Value) },
			Drop:    func(item stream.Item[object.Object]) { c.drop(kind, item.Namespace, item.Name) },
			Link:    c.linked(kind.String()),
		}, c.log)
	}()
}

// look keeps of a policy what it says.
func look(seen meta.Object) object.Object {
	u, _ := seen.(*unstructured.Unstructured)
	for _, field := range [][]string{{"metadata", "managedFields"}, {"metadata", "resourceVersion"}, {"metadata", "generation"}, {"status"}} {
		unstructured.RemoveNestedField(u.Object, field...)
	}
	one, err := object.New(u, "")
	if err != nil {
		return object.Object{}
	}
	return one
}

func (c *Cluster) watchDefinitions(ctx context.Context, parts *sync.WaitGroup) {
	definitions := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	appear := func(name string) {
		for _, ref := range policy.Kinds() {
			if kindOf(name) == strings.ToLower(ref.Kind)+"."+ref.Group {
				c.cluster.Forget()
				c.follow(ctx, ref, parts)
			}
		}
	}
	stream.Run(ctx, c.cluster, stream.Target{Resource: definitions, MetadataOnly: true}, stream.Sink[struct{}]{
		Look: func(meta.Object) struct{} { return struct{}{} },
		Replace: func(items []stream.Item[struct{}], _ stream.Position) {
			for _, item := range items {
				appear(item.Name)
			}
		},
		Put:  func(item stream.Item[struct{}]) { appear(item.Name) },
		Drop: func(item stream.Item[struct{}]) { c.vanish(item.Name) },
		Link: c.linked("definitions"),
	}, c.log)
}

// kindOf writes the name of a definition, clusterpolicies.kyverno.io, with the kind in lower case.
func kindOf(definition string) string {
	plural, group, _ := strings.Cut(definition, ".")
	if stem, ok := strings.CutSuffix(plural, "ies"); ok {
		return stem + "y." + group
	}
	return strings.TrimSuffix(plural, "s") + "." + group
}

func (c *Cluster) vanish(definition string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for kind, cancel := range c.watched {
		if kindOf(definition) == strings.ToLower(kind.Kind)+"."+kind.Group {
			cancel()
		}
	}
}

func (c *Cluster) forget(kind schema.GroupKind) {
	c.mu.Lock()
	delete(c.watched, kind)
	delete(c.policies, kind)
	c.changes++
	c.mu.Unlock()
	c.heard(kind.String())
}

func (c *Cluster) watchNamespaces(ctx context.Context) {
	namespaces := schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	keep := func(item stream.Item[map[string]any]) { c.namespaces[item.Name] = item.Value }
	stream.Run(ctx, c.cluster, stream.Target{Resource: namespaces, MetadataOnly: true}, stream.Sink[map[string]any]{
		Look: func(seen meta.Object) map[string]any {
			return map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{
				"name": seen.GetName(), "labels": anys(seen.GetLabels()), "annotations": anys(seen.GetAnnotations()),
			}}
		},
		Replace: func(items []stream.Item[map[string]any], _ stream.Position) {
			c.mu.Lock()
			defer c.mu.Unlock()
			clear(c.namespaces)
			for _, item := range items {
				keep(item)
			}
		},
		Put: func(item stream.Item[map[string]any]) {
			c.mu.Lock()
			defer c.mu.Unlock()
			keep(item)
		},
		Drop: func(item stream.Item[map[string]any]) {
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.namespaces, item.Name)
		},
		Link: c.linked("namespaces"),
	}, c.log)
}

func anys(texts map[string]string) map[string]any {
	all := make(map[string]any, len(texts))
	for key, text := range texts {
		all[key] = text
	}
	return all
}

func (c *Cluster) watchWebhooks(ctx context.Context) {
	webhooks := schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	set := func(name string, there bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.webhooks[name] != there {
			c.webhooks[name] = there
			c.changes++
		}
	}
	stream.Run(ctx, c.cluster, stream.Target{Resource: webhooks, MetadataOnly: true, Fields: stream.One(kyvernoWebhook)}, stream.Sink[struct{}]{
		Look:    func(meta.Object) struct{} { return struct{}{} },
		Replace: func(items []stream.Item[struct{}], _ stream.Position) { set(kyvernoWebhook, len(items) > 0) },
		Put:     func(item stream.Item[struct{}]) { set(item.Name, true) },
		Drop:    func(item stream.Item[struct{}]) { set(item.Name, false) },
		Link:    c.linked("webhooks"),
	}, c.log)
}

// linked hears whether a watch stands. One that is forbidden, or whose kind is gone, is not waited for.
func (c *Cluster) linked(name string) func(error) {
	return func(err error) {
		switch {
		case err == nil:
			c.heard(name)
		case apierrors.IsForbidden(err) || apierrors.IsNotFound(err):
			c.log.Error(err, "policies of the cluster are not known in full", "watch", name)
			c.heard(name)
		}
	}
}

func (c *Cluster) expect(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting[name] = true; c.started {
		select {
		case <-c.settled:
			c.settled = make(chan struct{})
		default:
		}
	}
}

func (c *Cluster) heard(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, name)
	if !c.started || len(c.waiting) > 0 {
		return
	}
	select {
	case <-c.settled:
	default:
		close(c.settled)
	}
}

func (c *Cluster) replace(kind schema.GroupKind, items []stream.Item[object.Object]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := make(map[object.Ref]object.Object, len(items))
	for _, item := range items {
		fresh[item.Value.Key()] = item.Value
	}
	same := maps.EqualFunc(c.policies[kind], fresh, func(a, b object.Object) bool { return a.Digest == b.Digest })
	if c.policies[kind] = fresh; !same {
		c.changes++ // a list that shows what was known already changes no verdict
	}
}

func (c *Cluster) put(kind schema.GroupKind, one object.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.policies[kind] == nil {
		c.policies[kind] = map[object.Ref]object.Object{}
	}
	if c.policies[kind][one.Key()].Digest == one.Digest {
		return // its status changed, or nothing that matters
	}
	c.policies[kind][one.Key()] = one
	c.changes++
}

func (c *Cluster) drop(kind schema.GroupKind, namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.policies[kind], object.Ref{Group: kind.Group, Kind: kind.Kind, Namespace: namespace, Name: name})
	c.changes++
}

// Policies implements policy.Live.
func (c *Cluster) Policies(ctx context.Context) ([]object.Object, string, error) {
	c.mu.Lock()
	settled := c.settled
	c.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-settled:
	case <-timer.C:
		return nil, "", fmt.Errorf("watching the policies of the cluster: no answer for %s", patience)
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []object.Object
	for _, kind := range c.policies {
		for _, one := range kind {
			if one.Kind != "" {
				all = append(all, one)
			}
		}
	}
	slices.SortFunc(all, func(a, b object.Object) int { return a.Ref.Compare(b.Ref) })
	return all, strconv.Itoa(c.changes), nil
}

// Namespace implements policy.Live.
func (c *Cluster) Namespace(name string) (map[string]any, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.namespaces[name]
	return found, ok
}

// Mutates implements policy.Live.
func (c *Cluster) Mutates() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.webhooks[kyvernoWebhook]
}

// Of implements policy.Live.
func (c *Cluster) Of(cluster *kube.Cluster) bool {
	return cluster.Config().Host == c.cluster.Config().Host
}

var _ policy.Live = (*Cluster)(nil)
