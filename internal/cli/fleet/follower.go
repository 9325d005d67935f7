package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// follower follows the objects of one kind: it lists them, watches them, and lists them again when
// the watch has broken. visit hears of each object that is new, has changed or is gone.
type follower struct {
	client  client.WithWatch
	list    *unstructured.UnstructuredList // says the kind, and holds nothing
	options client.ListOptions
	visit   func(u *unstructured.Unstructured, deleted bool) error
	order   func(a, b unstructured.Unstructured) int // of a list; by namespace and name unless set
	known   map[types.UID]*unstructured.Unstructured
}

func newFollower(c client.WithWatch, list *unstructured.UnstructuredList, options client.ListOptions, visit func(*unstructured.Unstructured, bool) error) *follower {
	return &follower{client: c, list: list, options: options, visit: visit, order: byName, known: map[types.UID]*unstructured.Unstructured{}}
}

func byName(a, b unstructured.Unstructured) int {
	return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
}

// Breaks between watches that end at once; they double from the first to the second.
const (
	shortestBreak = 100 * time.Millisecond
	longestBreak  = 5 * time.Second
)

// run follows until ctx ends or visit returns an error.
func (f *follower) run(ctx context.Context) error {
	pause := shortestBreak
	for {
		version, err := f.catchUp(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := f.watch(ctx, version); err != nil {
			return err
		}
		if time.Since(began) > longestBreak {
			pause = shortestBreak
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, longestBreak)
	}
}

// word is the kind's name in errors.
func (f *follower) word() string {
	return strings.ToLower(strings.TrimSuffix(f.list.GetKind(), "List")) + " objects"
}

// catchUp tells of everything that is different from what is known, and returns the list's version.
func (f *follower) catchUp(ctx context.Context) (version string, err error) {
	list := f.list.DeepCopy()
	options := f.options
	if err := f.client.List(ctx, list, &options); err != nil {
		return "", fmt.Errorf("listing %s: %w", f.word(), err)
	}
	slices.SortStableFunc(list.Items, f.order)
	there := make(map[types.UID]bool, len(list.Items))
	for i := range list.Items {
		there[list.Items[i].GetUID()] = true
		if err := f.tell(&list.Items[i], false); err != nil {
			return "", err
		}
	}
	for uid, u := range f.known {
		if there[uid] {
			continue
		}
		if err := f.tell(u, true); err != nil {
			return "", err
		}
	}
	return list.GetResourceVersion(), nil
}

// watch tells of changes until the watch ends, which is no error.
func (f *follower) watch(ctx context.Context, version string) error {
	options := f.options
	options.Raw = &metav1.ListOptions{ResourceVersion: version}
	watcher, err := f.client.Watch(ctx, f.list.DeepCopy(), &options)
	if err != nil {
		if mayPass(err) {
			return nil
		}
		return fmt.Errorf("watching %s: %w", f.word(), err)
	}
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		u, ok := event.Object.(*unstructured.Unstructured)
		if !ok || event.Type == watch.Bookmark || event.Type == watch.Error {
			continue // the server ends the watch after an error event
		}
		if err := f.tell(u, event.Type == watch.Deleted); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// mayPass tells whether an error only means that the watch has to be begun anew.
func mayPass(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err)
}

// tell passes an object on unless it is already known.
func (f *follower) tell(u *unstructured.Unstructured, deleted bool) error {
	uid := u.GetUID()
	if deleted {
		delete(f.known, uid)
		return f.visit(u, true)
	}
	if before, seen := f.known[uid]; seen && before.GetResourceVersion() == u.GetResourceVersion() {
		return nil
	}
	f.known[uid] = u
	return f.visit(u, false)
}
