package fleet

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// flaky is a server whose watches break. Each list shows the next state of the world.
type flaky struct {
	client.WithWatch

	lock    sync.Mutex
	worlds  [][]unstructured.Unstructured
	watches []*watch.FakeWatcher
}

func (f *flaky) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	f.lock.Lock()
	defer f.lock.Unlock()
	if len(f.worlds) == 0 {
		return errors.New("the world has ended")
	}
	list.(*unstructured.UnstructuredList).Items = f.worlds[0]
	f.worlds = f.worlds[1:]
	return nil
}

func (f *flaky) Watch(context.Context, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
	f.lock.Lock()
	defer f.lock.Unlock()
	watcher := f.watches[0]
	f.watches = f.watches[1:]
	return watcher, nil
}

func thing(name, version string) unstructured.Unstructured {
	u := unstructured.Unstructured{}
	u.SetName(name)
	u.SetUID(types.UID(name))
	u.SetResourceVersion(version)
	return u
}

// TestFollowerLosesNothing breaks the watch and changes the world meanwhile.
func TestFollowerLosesNothing(t *testing.T) {
	first, second := watch.NewFakeWithChanSize(4, false), watch.NewFakeWithChanSize(4, false)
	changed, gone := thing("a", "2"), thing("b", "1")
	first.Modify(&changed)
	first.Error(&runtime.Unknown{}) // as an expired resource version does
	first.Stop()
	second.Delete(&gone)
	second.Stop()
	server := &flaky{
		worlds: [][]unstructured.Unstructured{
			{thing("b", "1"), thing("a", "1"), thing("c", "1")},
			{thing("a", "2"), thing("b", "1"), thing("d", "3")}, // c went and d came unseen
		},
		watches: []*watch.FakeWatcher{first, second},
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "ThingList"})
	var seen []string
	follower := newFollower(server, list, client.ListOptions{}, func(u *unstructured.Unstructured, deleted bool) error {
		text := u.GetName() + u.GetResourceVersion()
		if deleted {
			text = "-" + text
		}
		seen = append(seen, text)
		return nil
	})
	if err := follower.run(t.Context()); err == nil {
		t.Fatal("an error of a list ends the follower")
	}
	want := []string{"a1", "b1", "c1", "a2", "d3", "-c1", "-b1"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("each change once (-want +got):\n%s", diff)
	}
}
