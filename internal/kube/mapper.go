package kube

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/restmapper"

	"holdfast.dev/holdfast/internal/model/object"
)

// Mapping tells how a kind is reached.
type Mapping struct {
	Resource   schema.GroupVersionResource
	Namespaced bool
}

// refreshPause bounds how often unknown kinds may cause a new discovery: one bad object in a hot
// loop must not turn into a stream of discovery requests.
const refreshPause = 250 * time.Millisecond

// mapper answers from the last discovery and discovers again when it meets a kind it does not know,
// so that a CRD applied a moment ago is found.
type mapper struct {
	finder  discovery.DiscoveryInterface
	schemas *Schemas
	lock    sync.Mutex
	known   map[schema.GroupVersionKind]Mapping
	groups  meta.RESTMapper
	asked   time.Time
}

func newMapper(finder discovery.DiscoveryInterface) *mapper {
	return &mapper{finder: finder, schemas: &Schemas{finder: finder}}
}

// Map returns how to reach the kind of ref, in ref's version. An unknown kind is an error for which
// meta.IsNoMatchError holds.
func (c *Cluster) Map(ctx context.Context, ref object.Ref) (Mapping, error) {
	return c.mapper.find(ctx, ref.GVK())
}

// Forget drops what is known about kinds, for example after a CRD was applied or deleted.
func (c *Cluster) Forget() {
	c.mapper.lock.Lock()
	defer c.mapper.lock.Unlock()
	c.mapper.known, c.mapper.groups, c.mapper.asked = nil, nil, time.Time{}
}

func (m *mapper) find(ctx context.Context, gvk schema.GroupVersionKind) (Mapping, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if mapping, found := m.known[gvk]; found {
		return mapping, nil
	}
	if m.groups != nil {
		if mapping, err := m.look(gvk); err == nil {
			return mapping, nil
		}
	}
	if time.Since(m.asked) < refreshPause && m.groups != nil {
		return Mapping{}, &meta.NoKindMatchError{GroupKind: gvk.GroupKind(), SearchedVersions: []string{gvk.Version}}
	}
	if err := m.discover(ctx); err != nil {
		return Mapping{}, err
	}
	return m.look(gvk)
}

func (m *mapper) look(gvk schema.GroupVersionKind) (Mapping, error) {
	found, err := m.groups.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return Mapping{}, err
	}
	mapping := Mapping{Resource: found.Resource, Namespaced: found.Scope.Name() == meta.RESTScopeNameNamespace}
	m.known[gvk] = mapping
	return mapping, nil
}

func (m *mapper) discover(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	groups, err := restmapper.GetAPIGroupResources(m.finder)
	// A broken aggregated API hides its own group only; the others are still listed.
	if err != nil && (!discovery.IsGroupDiscoveryFailedError(err) || len(groups) == 0) {
		return fmt.Errorf("discovering kinds: %w", err)
	}
	m.groups = restmapper.NewDiscoveryRESTMapper(groups)
	m.known = map[schema.GroupVersionKind]Mapping{}
	m.asked = time.Now()
	return nil
}
