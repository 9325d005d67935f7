package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// EventSelection chooses events by what they are about.
type EventSelection struct {
	Namespace string // "" means all
	Kinds     []Kind
	Names     []string // none means all
	Types     []string // Normal, Warning, in any case; none means both
}

func (s EventSelection) options() client.ListOptions {
	options := client.ListOptions{Namespace: s.Namespace}
	if len(s.Names) == 1 {
		options.FieldSelector = fields.OneTermEqualSelector("involvedObject.name", s.Names[0])
	}
	return options
}

func (s EventSelection) has(event corev1.Event) bool {
	kind, known := KindOf(event.InvolvedObject.GroupVersionKind().GroupKind())
	return known &&
		slices.ContainsFunc(s.Kinds, func(wanted Kind) bool { return wanted.GroupKind == kind.GroupKind }) &&
		(len(s.Names) == 0 || slices.Contains(s.Names, event.InvolvedObject.Name)) &&
		(len(s.Types) == 0 || slices.ContainsFunc(s.Types, func(t string) bool { return strings.EqualFold(t, event.Type) }))
}

// EventTime returns when an event happened last.
func EventTime(event corev1.Event) time.Time {
	switch {
	case event.Series != nil && !event.Series.LastObservedTime.IsZero():
		return event.Series.LastObservedTime.Time
	case !event.LastTimestamp.IsZero():
		return event.LastTimestamp.Time
	case !event.EventTime.IsZero():
		return event.EventTime.Time
	default:
		return event.CreationTimestamp.Time
	}
}

// compareEvents orders events by time; those of the same second stay in the order of their names,
// which end in a time of finer grain.
func compareEvents(a, b corev1.Event) int {
	return cmp.Or(EventTime(a).Compare(EventTime(b)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// Events returns the selected events, the oldest first.
func (c *Cluster) Events(ctx context.Context, selection EventSelection) ([]corev1.Event, error) {
	list := &corev1.EventList{}
	options := selection.options()
	if err := c.client.List(ctx, list, &options); err != nil {
		return nil, fmt.Errorf("listing events: %w", err)
	}
	events := slices.DeleteFunc(list.Items, func(event corev1.Event) bool { return !selection.has(event) })
	slices.SortFunc(events, compareEvents)
	return events, nil
}

// FollowEvents calls visit with each selected event there is, the oldest first, then with each that
// comes or happens again, until visit returns an error or ctx ends.
func (c *Cluster) FollowEvents(ctx context.Context, selection EventSelection, visit func(corev1.Event) error) error {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("EventList"))
	follower := newFollower(c.client, list, selection.options(), func(u *unstructured.Unstructured, deleted bool) error {
		event, err := readEvent(u)
		if err != nil || deleted || !selection.has(event) {
			return err
		}
		return visit(event)
	})
	follower.order = func(a, b unstructured.Unstructured) int {
		first, _ := readEvent(&a)
		second, _ := readEvent(&b)
		return compareEvents(first, second)
	}
	return follower.run(ctx)
}

func readEvent(u *unstructured.Unstructured) (corev1.Event, error) {
	event := corev1.Event{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &event); err != nil {
		return corev1.Event{}, fmt.Errorf("reading event %s: %w", u.GetName(), err)
	}
	return event, nil
}
