package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// server answers requests as a script says; what is asked beyond it waits for the test's end.
type server struct {
	lock    sync.Mutex
	lists   []func(metav1.ListOptions) (page, error)
	watches []func(metav1.ListOptions) (watch.Interface, error)
	asked   []string
}

func (s *server) list(ctx context.Context, options metav1.ListOptions) (page, error) {
	s.lock.Lock()
	s.asked = append(s.asked, "list "+options.ResourceVersion)
	if len(s.lists) == 0 {
		s.lock.Unlock()
		<-ctx.Done()
		return page{}, ctx.Err()
	}
	answer := s.lists[0]
	s.lists = s.lists[1:]
	s.lock.Unlock()
	return answer(options)
}

func (s *server) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	s.lock.Lock()
	kind := "watch "
	if options.SendInitialEvents != nil {
		kind = "stream "
	}
	s.asked = append(s.asked, kind+options.ResourceVersion)
	if len(s.watches) == 0 {
		s.lock.Unlock()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	answer := s.watches[0]
	s.watches = s.watches[1:]
	s.lock.Unlock()
	return answer(options)
}

func (s *server) requests() []string {
	s.lock.Lock()
	defer s.lock.Unlock()
	return append([]string(nil), s.asked...)
}

// told collects what a sink is told, one line each.
type told struct {
	lock  sync.Mutex
	lines []string
	came  chan struct{}
}

func (t *told) add(format string, values ...any) {
	t.lock.Lock()
	t.lines = append(t.lines, fmt.Sprintf(format, values...))
	t.lock.Unlock()
	select {
	case t.came <- struct{}{}:
	default:
	}
}

func (t *told) sink() Sink[string] {
	return Sink[string]{
		Look: func(object metav1.Object) string { return object.GetName() + "!" },
		Put:  func(item Item[string]) { t.add("put %s %s %s", item.Name, item.ResourceVersion, item.Value) },
		Drop: func(item Item[string]) { t.add("drop %s %s", item.Name, item.ResourceVersion) },
		Replace: func(items []Item[string], at Position) {
			names := ""
			for _, item := range items {
				names += " " + item.Name
			}
			t.add("replace %s latest=%t%s", at.ResourceVersion, at.Latest, names)
		},
		Link: func(err error) {
			if err != nil {
				t.add("broken %v", err)
				return
			}
			t.add("linked")
		},
	}
}

// until waits for a line.
func (t *told) until(test *testing.T, line string) {
	test.Helper()
	deadline := time.After(10 * time.Second)
	for {
		t.lock.Lock()
		lines := append([]string(nil), t.lines...)
		t.lock.Unlock()
		for _, one := range lines {
			if one == line {
				return
			}
		}
		select {
		case <-t.came:
		case <-deadline:
			test.Fatalf("never told %q but %q", line, lines)
		}
	}
}

func start(t *testing.T, s *server, silence time.Duration) (*told, func()) {
	t.Helper()
	heard := &told{came: make(chan struct{}, 1)}
	from := &source[string]{
		open: s, sink: heard.sink(), silence: silence,
		target: Target{Resource: schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx, from, logr.Discard())
	}()
	stop := func() {
		cancel()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Error("did not stop")
		}
	}
	t.Cleanup(stop)
	return heard, stop
}

func named(name, version string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
	u.SetName(name)
	u.SetResourceVersion(version)
	return u
}

// initialEnd is the bookmark that ends the list at the head of a stream.
func initialEnd(version string) *unstructured.Unstructured {
	u := named("", version)
	u.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	return u
}

// events is a watch that brings some events and then stays open.
func events(list ...watch.Event) func(metav1.ListOptions) (watch.Interface, error) {
	return func(metav1.ListOptions) (watch.Interface, error) { return playing(list), nil }
}

// closing is a watch that brings some events and is closed then.
func closing(list ...watch.Event) func(metav1.ListOptions) (watch.Interface, error) {
	return func(metav1.ListOptions) (watch.Interface, error) {
		fake := playing(list)
		fake.Stop()
		return fake, nil
	}
}

func playing(list []watch.Event) *watch.FakeWatcher {
	fake := watch.NewFakeWithChanSize(len(list), false)
	for _, event := range list {
		fake.Action(event.Type, event.Object)
	}
	return fake
}

func refused(metav1.ListOptions) (watch.Interface, error) {
	return nil, fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
}

func failing(err error) func(metav1.ListOptions) (watch.Interface, error) {
	return func(metav1.ListOptions) (watch.Interface, error) { return nil, err }
}

func listed(version string, names ...string) func(metav1.ListOptions) (page, error) {
	return func(metav1.ListOptions) (page, error) {
		return page{meta: metav1.ListMeta{ResourceVersion: version}, length: len(names), each: func(take func(metav1.Object)) {
			for _, name := range names {
				take(named(name, "1"))
			}
		}}, nil
	}
}

func TestStreamedList(t *testing.T) {
	s := &server{watches: []func(metav1.ListOptions) (watch.Interface, error){events(
		watch.Event{Type: watch.Added, Object: named("a", "3")},
		watch.Event{Type: watch.Bookmark, Object: initialEnd("5")},
		watch.Event{Type: watch.Added, Object: named("b", "6")},
		watch.Event{Type: watch.Modified, Object: named("a", "7")},
		watch.Event{Type: watch.Bookmark, Object: named("", "8")},
		watch.Event{Type: watch.Deleted, Object: named("b", "9")},
	)}}
	heard, _ := start(t, s, time.Hour)
	heard.until(t, "drop b 9")
	want := []string{"replace 5 latest=true a", "linked", "put b 6 b!", "put a 7 a!", "drop b 9"}
	if diff := cmp.Diff(want, heard.lines); diff != "" {
		t.Error(diff)
	}
}

// TestPlainList: a server that knows no streamed lists is listed and watched; an expired watch is
// listed again, and a cache may answer that.
func TestPlainList(t *testing.T) {
	unknown := apierrors.NewInvalid(schema.GroupKind{Kind: "ListOptions"}, "", nil)
	expired := apierrors.NewResourceExpired("too old").Status()
	s := &server{
		watches: []func(metav1.ListOptions) (watch.Interface, error){
			failing(unknown),
			events(watch.Event{Type: watch.Modified, Object: named("a", "7")}, watch.Event{Type: watch.Error, Object: &expired}),
			failing(unknown),
			events(watch.Event{Type: watch.Added, Object: named("c", "11")}),
		},
		lists: []func(metav1.ListOptions) (page, error){listed("5", "a", "b"), listed("10", "b")},
	}
	heard, _ := start(t, s, time.Hour)
	heard.until(t, "put c 11 c!")
	want := []string{"stream ", "list 0", "watch 5", "stream 7", "list 7", "watch 10"}
	if diff := cmp.Diff(want, s.requests()); diff != "" {
		t.Error(diff)
	}
	heard.until(t, "replace 5 latest=false a b")
	heard.until(t, "replace 10 latest=false b")
}

// TestSilence: a watch that should bring bookmarks and does not is opened anew, from the last event.
func TestSilence(t *testing.T) { synctest.Test(t, silence) }

func silence(t *testing.T) {
	s := &server{watches: []func(metav1.ListOptions) (watch.Interface, error){
		events(watch.Event{Type: watch.Bookmark, Object: initialEnd("5")}, watch.Event{Type: watch.Added, Object: named("a", "6")}),
		events(watch.Event{Type: watch.Added, Object: named("b", "7")}),
	}}
	heard, _ := start(t, s, time.Second)
	heard.until(t, "put b 7 b!")
	if diff := cmp.Diff([]string{"stream ", "watch 6"}, s.requests()[:2]); diff != "" {
		t.Error(diff)
	}
}

// TestSilenceOfServersWithoutBookmarks: they are silent because nothing happens.
func TestSilenceOfServersWithoutBookmarks(t *testing.T) { synctest.Test(t, silenceWithoutBookmarks) }

func silenceWithoutBookmarks(t *testing.T) {
	s := &server{
		watches: []func(metav1.ListOptions) (watch.Interface, error){
			failing(apierrors.NewInvalid(schema.GroupKind{Kind: "ListOptions"}, "", nil)),
			events(watch.Event{Type: watch.Added, Object: named("a", "6")}),
		},
		lists: []func(metav1.ListOptions) (page, error){listed("5")},
	}
	heard, _ := start(t, s, time.Second)
	heard.until(t, "put a 6 a!")
	time.Sleep(time.Minute) // in the bubble's time; the claim is that nothing happens
	if diff := cmp.Diff([]string{"stream ", "list 0", "watch 5"}, s.requests()); diff != "" {
		t.Error(diff)
	}
}

// TestRefusal: nobody waits for the pause after a refused connection, and no list is sent in vain.
func TestRefusal(t *testing.T) {
	var refusals []func(metav1.ListOptions) (watch.Interface, error)
	for range 100 {
		refusals = append(refusals, refused)
	}
	s := &server{watches: refusals}
	heard, stop := start(t, s, time.Hour)
	heard.until(t, "broken dial: connection refused")
	stop()
	for _, request := range s.requests() {
		if request != "stream " {
			t.Errorf("asked for %q", request)
		}
	}
}

// TestRecovery: after errors of all kinds the stream stands again.
func TestRecovery(t *testing.T) {
	s := &server{
		watches: []func(metav1.ListOptions) (watch.Interface, error){
			refused,
			failing(apierrors.NewForbidden(schema.GroupResource{}, "", errors.New("no"))),
			failing(apierrors.NewTooManyRequests("later", 0)),
			closing(watch.Event{Type: watch.Bookmark, Object: initialEnd("5")}, watch.Event{Type: watch.Added, Object: named("a", "6")}),
			refused,
			events(watch.Event{Type: watch.Added, Object: named("b", "7")}),
		},
	}
	heard, _ := start(t, s, time.Hour)
	heard.until(t, "put b 7 b!")
	want := []string{"stream ", "stream ", "stream ", "stream ", "watch 6", "watch 6"}
	if diff := cmp.Diff(want, s.requests()); diff != "" {
		t.Error(diff)
	}
}
