package alerts

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	v1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/cli/fleet"
	"holdfast.dev/holdfast/internal/controller/notification"
	"holdfast.dev/holdfast/internal/record/alert/send"
	"holdfast.dev/holdfast/internal/record/event"
)

// Cluster is the Alerts and Providers of a cluster.
type Cluster struct{ client client.Client }

// Connect prepares a client. It does not talk to the server yet.
func Connect(config *rest.Config) (*Cluster, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta3.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	config = rest.CopyConfig(config)
	config.WarningHandler = rest.NoWarnings{}
	reached, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", config.Host, err)
	}
	return &Cluster{client: reached}, nil
}

// Trial is a message to try a Provider with.
type Trial struct {
	Namespace, Provider string
	Failure             bool   // the message is about one
	Text                string // empty is a sentence of ours
	Revision            string // of the commit whose status is set
	Now                 time.Time
}

// Try sends a message through a Provider, from here. Services on this machine may be tried, too.
func (c *Cluster) Try(ctx context.Context, trial Trial) (kind string, answer send.Answer, err error) {
	key := client.ObjectKey{Namespace: trial.Namespace, Name: trial.Provider}
	target, err := notification.Open(ctx, c.client, c.client, key)
	if err != nil {
		return "", send.Answer{}, err
	}
	if send.SetsStatus(target.Type) && trial.Revision == "" {
		return target.Type, send.Answer{}, fmt.Errorf("a %s provider sets the status of a commit, and none was named", target.Type)
	}
	host, _ := os.Hostname()
	said := event.Event{
		InvolvedObject: corev1.ObjectReference{
			APIVersion: v1beta3.GroupVersion.String(), Kind: v1beta3.ProviderKind, Namespace: key.Namespace, Name: key.Name,
			UID: "holdfast-test", // pagers open and close an incident of this name
		},
		Severity: event.Info, Timestamp: metav1.NewTime(trial.Now), Reason: "Test",
		Message:             cmp.Or(trial.Text, "This is a test message of holdfast alerts test."),
		ReportingController: "notification-controller", ReportingInstance: host,
	}
	if trial.Failure {
		said.Severity = event.Error
	}
	if trial.Revision != "" {
		said.Metadata = map[string]string{event.RevisionKey: trial.Revision}
	}
	answer, err = send.NewClient(send.Options{Loopback: true}).Send(ctx, target, send.Message{Event: said})
	if err != nil {
		err = fmt.Errorf("sending to Provider %s (%s): %w", key, target.Type, err)
	}
	return target.Type, answer, err
}

// Alert is one Alert, and how its messages fare.
type Alert struct {
	Namespace, Name, Provider string
	Type                      string // of the Provider; empty where there is none
	Severity                  string
	Suspended                 bool
	// Trouble is what was told last, when it is bad news, and Since when.
	Trouble string
	Since   time.Time
}

// List returns the Alerts of a namespace, or of all where it is empty, by namespace and name.
func (c *Cluster) List(ctx context.Context, namespace string) ([]Alert, error) {
	var alerts v1beta3.AlertList
	var providers v1beta3.ProviderList
	in := client.InNamespace(namespace)
	if err := c.client.List(ctx, &alerts, in); err != nil {
		return nil, fmt.Errorf("listing alerts: %w", err)
	}
	if err := c.client.List(ctx, &providers, in); err != nil {
		return nil, fmt.Errorf("listing providers: %w", err)
	}
	told, err := c.told(ctx, namespace)
	if err != nil {
		return nil, err
	}
	types := map[about]*v1beta3.Provider{}
	for i := range providers.Items {
		types[about{v1beta3.ProviderKind, providers.Items[i].Namespace, providers.Items[i].Name}] = &providers.Items[i]
	}
	listed := make([]Alert, len(alerts.Items))
	for i, a := range alerts.Items {
		one := Alert{
			Namespace: a.Namespace, Name: a.Name, Provider: a.Spec.ProviderRef.Name,
			Severity: cmp.Or(a.Spec.EventSeverity, event.Info), Suspended: a.Spec.Suspend,
		}
		provider := about{v1beta3.ProviderKind, a.Namespace, a.Spec.ProviderRef.Name}
		if p := types[provider]; p != nil {
			one.Type = p.Spec.Type
			one.Suspended = one.Suspended || p.Spec.Suspend
		} else {
			one.Trouble = "there is no provider of this name"
		}
		for _, key := range []about{{v1beta3.AlertKind, a.Namespace, a.Name}, provider} {
			latest, found := told[key]
			if found && latest.Type == corev1.EventTypeWarning && fleet.EventTime(latest).After(one.Since) {
				one.Trouble, one.Since = latest.Message, fleet.EventTime(latest)
			}
		}
		listed[i] = one
	}
	slices.SortFunc(listed, func(a, b Alert) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return listed, nil
}

// about is what an event is about.
type about struct{ kind, namespace, name string }

// told returns the latest event of each Alert and Provider.
func (c *Cluster) told(ctx context.Context, namespace string) (map[about]corev1.Event, error) {
	latest := map[about]corev1.Event{}
	for _, kind := range []string{v1beta3.AlertKind, v1beta3.ProviderKind} {
		var events corev1.EventList
		selection := client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("involvedObject.kind", kind)}
		if err := c.client.List(ctx, &events, client.InNamespace(namespace), selection); err != nil {
			return nil, fmt.Errorf("listing events: %w", err)
		}
		for _, one := range events.Items {
			key := about{kind, one.InvolvedObject.Namespace, one.InvolvedObject.Name}
			if before, known := latest[key]; !known || fleet.EventTime(before).Before(fleet.EventTime(one)) {
				latest[key] = one
			}
		}
	}
	return latest, nil
}
