package operator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/controller/receiver"
	webhook "holdfast.dev/holdfast/internal/hook/receiver"
)

// serveReceivers builds the controller of Receivers and, where it has an address, what answers calls.
func (o *Operator) serveReceivers(ctx context.Context) error {
	kind := notificationv1.GroupVersion.WithKind(notificationv1.ReceiverKind)
	_, err := o.manager.GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
	if apimeta.IsNoMatchError(err) {
		o.config.Log.Info("receivers are not served, as the cluster does not have the kind")
		return nil
	}
	controller, err := receiver.Setup(ctx, o.manager, receiver.Deps{
		Client:  o.manager.GetClient(),
		Secrets: o.manager.GetAPIReader(),                                 // a cache would hold every Secret of the cluster
		Events:  o.manager.GetEventRecorderFor("notification-controller"), //nolint:staticcheck // Flux's events are core/v1 events with annotations
		Metrics: o.metrics,
	})
	if err != nil {
		return err
	}
	o.receivers = true
	if orNone(o.config.ReceiverAddress) == "0" {
		return nil
	}
	handler := webhook.New(webhook.Deps{
		Find: controller.Find, Secret: o.secret, Resources: webhook.Cluster{Cluster: o.cluster},
		NoCrossNamespaceRefs: o.config.Kustomizations.NoCrossNamespaceRefs,
		Metrics:              o.metrics, Log: o.config.Log.WithName("webhook"),
	})
	listener, err := net.Listen("tcp", o.config.ReceiverAddress)
	if err != nil {
		return fmt.Errorf("serving webhooks: %w", err)
	}
	o.hooked = &hookServer{listener: listener, server: handler.Server()}
	return o.manager.Add(o.hooked)
}

// secret reads the data of a Secret, past the cache.
func (o *Operator) secret(ctx context.Context, namespace, name string) (map[string][]byte, error) {
	var secret corev1.Secret
	if err := o.manager.GetAPIReader().Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &secret); err != nil {
		return nil, err
	}
	return secret.Data, nil
}

// ReceiverHost is where webhooks are answered, "" where they are not.
func (o *Operator) ReceiverHost() string {
	if o.hooked == nil {
		return ""
	}
	return o.hooked.listener.Addr().String()
}

// hookServer answers webhooks.
type hookServer struct {
	listener net.Listener
	server   *http.Server
}

// Start implements manager.Runnable.
func (h *hookServer) Start(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = h.server.Close() })
	defer stop()
	if err := h.server.Serve(h.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving webhooks: %w", err)
	}
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: any replica can ask for a
// reconciliation.
func (h *hookServer) NeedLeaderElection() bool { return false }
