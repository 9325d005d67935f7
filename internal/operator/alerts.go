package operator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	v1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/go-logr/logr"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"holdfast.dev/holdfast/internal/controller/notification"
	"holdfast.dev/holdfast/internal/record/alert"
	"holdfast.dev/holdfast/internal/record/alert/send"
	"holdfast.dev/holdfast/internal/record/event"
)

// teller makes what a controller tells people with: what it says becomes a Kubernetes event, and goes to the
// alerts and to another notification controller, where there are such.
func (o *Operator) teller(controller string) *event.Recorder {
	return event.New(event.Options{
		Kubernetes: o.manager.GetEventRecorderFor(controller), //nolint:staticcheck // Flux's events are core/v1 events with annotations
		Scheme:     o.manager.GetScheme(),
		Controller: controller,
		Instance:   instance(),
		Take: func(said event.Event) {
			for _, take := range o.hears {
				take(said)
			}
		},
	})
}

// instance names this process to receivers of events, as Flux's controllers do: by its host.
func instance() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// serveAlerts builds who hears of events: the alerts of the cluster, and another notification
// controller. It comes before the controllers that have something to say.
func (o *Operator) serveAlerts() error {
	if address := o.config.ForwardEvents; address != "" {
		forwarder, err := event.NewForwarder(address, o.config.Log.WithName("events"))
		if err != nil {
			return err
		}
		o.hears = append(o.hears, forwarder.Take)
		if err := o.manager.Add(forwarder); err != nil {
			return err
		}
	}
	if !o.config.serves(Notifications) {
		return nil
	}
	if served, err := o.servesNotifications(); !served {
		return err
	}
	told := o.manager.GetEventRecorderFor("notification-controller") //nolint:staticcheck // as above
	book := &notification.Book{Cached: o.manager.GetClient(), Direct: o.manager.GetAPIReader(), Events: told}
	dispatcher := alert.New(alert.Options{
		Book: book, Notify: book.Notify, Ledger: alert.Stored(o.audit.db, o.config.WatchSelector),
		Sender:           send.NewClient(send.Options{Loopback: o.config.LoopbackAlerts}),
		OwnNamespaceOnly: o.config.Kustomizations.NoCrossNamespaceRefs,
		Limits:           o.config.AlertLimits,
		Meter:            o.metrics,
		Log:              o.config.Log.WithName("alert"),
	})
	o.hears = append(o.hears, func(said event.Event) { dispatcher.Take(said) })
	if err := o.manager.Add(dispatcher); err != nil {
		return err
	}
	if address := o.config.EventsAddress; address != "" && address != "0" {
		receiver := event.NewReceiver(dispatcher.Take, o.config.AlertLimits.Repeat, time.Now)
		if err := o.manager.Add(eventServer{address, receiver, o.config.Log.WithName("events")}); err != nil {
			return err
		}
	}
	return notification.Setup(o.manager, told)
}

// servesNotifications tells whether the cluster has the kinds. Without them there are no alerts.
func (o *Operator) servesNotifications() (bool, error) {
	kind := v1beta3.GroupVersion.WithKind(v1beta3.AlertKind)
	_, err := o.manager.GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
	if apimeta.IsNoMatchError(err) {
		o.config.Log.Info("the cluster has no Alerts in the version that is served: nobody is alerted", "version", kind.GroupVersion().String())
		return false, nil
	}
	return err == nil, err
}

// eventServer takes the events of other controllers.
type eventServer struct {
	address string
	handler http.Handler
	log     logr.Logger
}

// Start serves until ctx ends. It implements manager.Runnable.
func (s eventServer) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("listening for events: %w", err)
	}
	s.log.Info("events are taken", "address", listener.Addr().String())
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 256 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serving events: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(stop); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("serving events: %w", err)
	}
	return nil
}

// isURL tells an address to post to from one to listen on.
func isURL(address string) bool {
	return strings.HasPrefix(address, "http://") || strings.HasPrefix(address, "https://")
}
