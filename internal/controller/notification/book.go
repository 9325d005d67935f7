package notification

import (
	"context"
	"fmt"

	v1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/record/alert"
	"holdfast.dev/holdfast/internal/record/alert/send"
	"holdfast.dev/holdfast/internal/record/event"
)

// teller writes Kubernetes events. It must not block.
type teller interface {
	AnnotatedEventf(about runtime.Object, annotations map[string]string, kind, reason, format string, args ...any)
}

// Book is the dispatcher's view of the Alerts and Providers of the cluster.
type Book struct {
	Cached client.Reader // Alerts and Providers
	Direct client.Reader // Secrets and the objects that events are about: a cache would hold them all
	Events teller
}

// Rules returns all Alerts, with what their Providers say.
func (b *Book) Rules(ctx context.Context) ([]alert.Rule, error) {
	var alerts v1beta3.AlertList
	var providers v1beta3.ProviderList
	if err := b.Cached.List(ctx, &alerts); err != nil {
		return nil, fmt.Errorf("listing Alerts: %w", err)
	}
	if len(alerts.Items) == 0 {
		return nil, nil
	}
	if err := b.Cached.List(ctx, &providers); err != nil {
		return nil, fmt.Errorf("listing Providers: %w", err)
	}
	byName := map[client.ObjectKey]*v1beta3.Provider{}
	for i := range providers.Items {
		byName[client.ObjectKeyFromObject(&providers.Items[i])] = &providers.Items[i]
	}
	rules := make([]alert.Rule, len(alerts.Items))
	for i := range alerts.Items {
		a := &alerts.Items[i]
		rules[i] = ruleOf(a, byName[client.ObjectKey{Namespace: a.Namespace, Name: a.Spec.ProviderRef.Name}])
	}
	return rules, nil
}

// Labels returns the labels of the object that an event is about.
func (b *Book) Labels(ctx context.Context, said event.Event) (map[string]string, error) {
	var object metav1.PartialObjectMetadata
	object.SetGroupVersionKind(said.InvolvedObject.GroupVersionKind())
	key := client.ObjectKey{Namespace: said.InvolvedObject.Namespace, Name: said.InvolvedObject.Name}
	if err := b.Direct.Get(ctx, key, &object); err != nil {
		return nil, err
	}
	return object.Labels, nil
}

// Open resolves a Provider.
func (b *Book) Open(ctx context.Context, namespace, provider string) (send.Target, error) {
	return Open(ctx, b.Cached, b.Direct, client.ObjectKey{Namespace: namespace, Name: provider})
}

// Notify writes a notice as an event on its Alert or Provider.
func (b *Book) Notify(notice alert.Notice) {
	var about client.Object
	switch notice.Kind {
	case v1beta3.AlertKind:
		about = &v1beta3.Alert{}
	case v1beta3.ProviderKind:
		about = &v1beta3.Provider{}
	default:
		return
	}
	if b.Cached.Get(context.Background(), client.ObjectKey{Namespace: notice.Namespace, Name: notice.Name}, about) != nil {
		return // it is gone, and nobody is left to be told
	}
	kind := corev1.EventTypeWarning
	if notice.Good {
		kind = corev1.EventTypeNormal
	}
	b.Events.AnnotatedEventf(about, nil, kind, notice.Reason, "%s", notice.Message)
}
