package examples_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"holdfast.dev/holdfast/config/crd"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
)

const (
	readyWithin = 2 * time.Minute
	goneWithin  = 2 * time.Minute
	lookEvery   = 100 * time.Millisecond
)

// TestOnCluster delivers each environment to a real API server, unit by unit, waits until all is
// healthy, and takes it away again before the next: admission, quotas, Pod Security, the scheduler and
// finalizers all have their say.
func TestOnCluster(t *testing.T) {
	target := connect(t)
	target.install(t)
	for i, name := range environments {
		t.Run(name, func(t *testing.T) {
			added := map[string]string{}
			if name != "prod" { // which has no playground
				added["clusters/"+name+"/apps/hello/hello.yaml"] = appOfReadme(t)
			}
			env := renderEnvironment(t, platform(t, added), name)
			delivered := env.root.objects
			target.apply(t, env.root.objects)
			for _, u := range env.units {
				delivered = append(delivered, u.objects...)
				target.apply(t, u.objects)
				target.awaitReady(t, u)
			}
			if i < len(environments)-1 { // the cluster goes with the last one
				target.remove(t, delivered)
			}
		})
	}
}

// cluster is the API server that tests deliver to.
type cluster struct {
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

func connect(t *testing.T) cluster {
	t.Helper()
	config := clustertest.Start(t)
	config.WarningHandler = warnings{t}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	finder, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return cluster{client: client, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(finder))}
}

// install brings what is there before any unit: Flux's kinds, and the namespace of the units.
func (c cluster) install(t *testing.T) {
	t.Helper()
	definitions, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	objects := []*unstructured.Unstructured{{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "flux-system"},
	}}}
	for _, definition := range definitions {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(definition)
		if err != nil {
			t.Fatal(err)
		}
		object := &unstructured.Unstructured{Object: content}
		unstructured.RemoveNestedField(object.Object, "status")
		objects = append(objects, object)
	}
	c.apply(t, objects)
	c.awaitReady(t, unit{name: "kinds", objects: objects})
}

// door returns the client for one object.
func (c cluster) door(object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := object.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		return c.client.Resource(mapping.Resource).Namespace(object.GetNamespace()), nil
	}
	return c.client.Resource(mapping.Resource), nil
}

// warnings makes each warning of the API server an error: it warns of what will not work in a later
// release, and of what breaks a policy.
type warnings struct{ t *testing.T }

func (w warnings) HandleWarningHeader(code int, _ string, text string) {
	if code == 299 && text != "" {
		w.t.Errorf("the API server warns: %s", text)
	}
}

// apply writes objects in their order.
func (c cluster) apply(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	c.await(t, objects, readyWithin, "kinds are not served", func(_ context.Context, object *unstructured.Unstructured) string {
		if _, err := c.door(object); err != nil {
			c.mapper.Reset() // a kind that was defined a moment ago is found a moment later
			return err.Error()
		}
		return ""
	})
	for _, object := range objects {
		door, err := c.door(object)
		if err != nil {
			t.Fatalf("finding the kind of %s: %v", identity(object), err)
		}
		options := metav1.ApplyOptions{FieldManager: "examples", Force: true}
		if _, err := door.Apply(t.Context(), object.GetName(), object, options); err != nil {
			t.Fatalf("applying %s: %v", identity(object), err)
		}
	}
}

// awaitReady returns when every object of a unit is healthy.
func (c cluster) awaitReady(t *testing.T, u unit) {
	t.Helper()
	c.await(t, u.objects, readyWithin, "unit "+u.name+" is not ready", func(ctx context.Context, object *unstructured.Unstructured) string {
		door, err := c.door(object)
		if err != nil {
			return err.Error()
		}
		live, err := door.Get(ctx, object.GetName(), metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		result, err := status.Compute(live)
		if err != nil {
			return err.Error()
		}
		if result.Status != status.CurrentStatus {
			return result.Message
		}
		return ""
	})
}

// remove deletes objects in the reverse of their order and returns when all are gone.
func (c cluster) remove(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	background := metav1.DeletePropagationBackground
	for _, object := range slices.Backward(objects) {
		door, err := c.door(object)
		if err != nil {
			t.Fatalf("finding the kind of %s: %v", identity(object), err)
		}
		err = door.Delete(t.Context(), object.GetName(), metav1.DeleteOptions{PropagationPolicy: &background})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatalf("deleting %s: %v", identity(object), err)
		}
	}
	c.await(t, objects, goneWithin, "not everything is gone", func(ctx context.Context, object *unstructured.Unstructured) string {
		door, err := c.door(object)
		if meta.IsNoMatchError(err) {
			return ""
		}
		if err != nil {
			return err.Error()
		}
		live, err := door.Get(ctx, object.GetName(), metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return ""
		case err != nil:
			return err.Error()
		}
		return fmt.Sprintf("still there, with finalizers %v", live.GetFinalizers())
	})
	c.mapper.Reset()
}

// await looks at objects until nothing is missing of any; missing returns what, or nothing.
func (c cluster) await(t *testing.T, objects []*unstructured.Unstructured, within time.Duration, what string, missing func(context.Context, *unstructured.Unstructured) string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		var still []*unstructured.Unstructured
		var reasons []string
		for _, object := range objects {
			if reason := missing(ctx, object); reason != "" {
				still = append(still, object)
				reasons = append(reasons, identity(object)+": "+reason)
			}
		}
		if objects = still; len(objects) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s after %s:\n%s", what, within, strings.Join(reasons, "\n"))
		case <-tick.C:
		}
	}
}
