package stream

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

type answers = []func(metav1.ListOptions) (watch.Interface, error)

func forbidden(metav1.ListOptions) (watch.Interface, error) {
	return nil, apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "", errors.New("no"))
}

// startAcross streams from one server for each namespace, "" being all.
func startAcross(t *testing.T, servers map[string]*server) *told {
	t.Helper()
	heard := &told{came: make(chan struct{}, 1)}
	target := Target{
		Resource: schema.GroupVersionResource{Version: "v1", Resource: "configmaps"},
		Narrow: func() []string {
			var names []string
			for name := range servers {
				if name != "" {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			return names
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		across(ctx, func(namespace string) opener { return servers[namespace] }, target, heard.sink(), logr.Discard())
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return heard
}

// TestNarrow: who may watch some namespaces only is told of them as one, from the oldest of their lists.
func TestNarrow(t *testing.T) {
	servers := map[string]*server{
		"": {watches: answers{forbidden}},
		"a": {watches: answers{events(
			watch.Event{Type: watch.Added, Object: named("x", "3")},
			watch.Event{Type: watch.Bookmark, Object: initialEnd("7")},
		)}},
		"b": {watches: answers{events(
			watch.Event{Type: watch.Added, Object: named("y", "4")},
			watch.Event{Type: watch.Bookmark, Object: initialEnd("5")},
		)}},
	}
	heard := startAcross(t, servers)
	heard.until(t, "linked")
	if diff := cmp.Diff([]string{"replace 5 latest=true x y", "linked"}, heard.lines); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"stream "}, servers[""].requests()); diff != "" {
		t.Errorf("it asks again for what is forbidden:\n%s", diff)
	}
}

// TestNarrowGoesOn: changes come as they do, and a thread that was lost brings what is different.
func TestNarrowGoesOn(t *testing.T) {
	expired := apierrors.NewResourceExpired("too old").Status()
	heard := startAcross(t, map[string]*server{
		"": {watches: answers{forbidden}},
		"a": {watches: answers{
			events(
				watch.Event{Type: watch.Added, Object: named("x", "3")},
				watch.Event{Type: watch.Added, Object: named("y", "4")},
				watch.Event{Type: watch.Bookmark, Object: initialEnd("5")},
				watch.Event{Type: watch.Modified, Object: named("x", "6")},
				watch.Event{Type: watch.Error, Object: &expired},
			),
			events(
				watch.Event{Type: watch.Added, Object: named("x", "6")},
				watch.Event{Type: watch.Added, Object: named("z", "8")},
				watch.Event{Type: watch.Bookmark, Object: initialEnd("9")},
				watch.Event{Type: watch.Deleted, Object: named("x", "10")},
			),
		}},
	})
	heard.until(t, "drop x 10")
	want := []string{"replace 5 latest=true x y", "linked", "put x 6 x!", "put z 8 z!", "drop y 9", "drop x 10"}
	if diff := cmp.Diff(want, heard.lines); diff != "" {
		t.Error(diff)
	}
}

// TestNarrowForbidden: a namespace that is forbidden holds up none of the others, and where all are, the
// sink is told so and hears of no list.
func TestNarrowForbidden(t *testing.T) {
	heard := startAcross(t, map[string]*server{
		"":  {watches: answers{forbidden}},
		"a": {watches: answers{forbidden}},
		"b": {watches: answers{events(watch.Event{Type: watch.Bookmark, Object: initialEnd("5")})}},
	})
	heard.until(t, "replace 5 latest=true")
	heard.until(t, "linked")

	heard = startAcross(t, map[string]*server{"": {watches: answers{forbidden}}, "a": {watches: answers{forbidden}}})
	heard.until(t, `broken configmaps is forbidden: no`)
	if len(heard.lines) != 1 {
		t.Errorf("told %q", heard.lines)
	}
}

// TestNarrowHistoryTurnedBack: after a restored backup, the sink needs a complete list to know that what
// it saw never was.
func TestNarrowHistoryTurnedBack(t *testing.T) {
	expired := apierrors.NewResourceExpired("too old").Status()
	again := events(watch.Event{Type: watch.Added, Object: named("x", "2")}, watch.Event{Type: watch.Bookmark, Object: initialEnd("3")})
	heard := startAcross(t, map[string]*server{
		"": {watches: answers{forbidden}},
		"a": {
			watches: answers{
				events(
					watch.Event{Type: watch.Added, Object: named("x", "30")},
					watch.Event{Type: watch.Bookmark, Object: initialEnd("50")},
					watch.Event{Type: watch.Error, Object: &expired},
				),
				failing(apierrors.NewResourceExpired("from the future")), again, again,
			},
		},
	})
	heard.until(t, "replace 3 latest=true x")
}
