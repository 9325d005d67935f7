package receiver

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"holdfast.dev/holdfast/internal/record/metric"
)

// Limits of a call, as Flux has them.
const (
	maxBody   = 3 << 20
	maxHeader = 256 << 10
	// maxTime bounds the work for a call. It goes on when the caller hangs up.
	maxTime = 30 * time.Second
)

// Deps are the parts that a Handler works with.
type Deps struct {
	// Find returns the Receiver with a webhook path, nil where there is none. The caller does not
	// change it.
	Find func(ctx context.Context, path string) (*notificationv1.Receiver, error)
	// Secret reads the data of a Secret.
	Secret func(ctx context.Context, namespace, name string) (map[string][]byte, error)
	// Resources are what Receivers name.
	Resources resources
	// Issuers verifies the tokens of OIDC issuers; nil means one with the default settings.
	Issuers *Issuers
	// NoCrossNamespaceRefs refuses resources in other namespaces than the Receiver's.
	NoCrossNamespaceRefs bool
	Metrics              *metric.Set
	Log                  logr.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Handler answers webhooks. It is safe for concurrent use.
type Handler struct {
	Deps
	rates *rates
}

// New makes a Handler.
func New(deps Deps) *Handler {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Issuers == nil {
		deps.Issuers = NewIssuers(IssuerOptions{})
	}
	if deps.Metrics == nil {
		deps.Metrics = metric.New(metric.Options{})
	}
	return &Handler{Deps: deps, rates: newRates(deps.Now)}
}

// Server returns the HTTP server that Flux has for webhooks, with its limits.
func (h *Handler) Server() *http.Server {
	mux := http.NewServeMux()
	mux.Handle(notificationv1.ReceiverWebhookPath, h)
	return &http.Server{
		Handler: mux, MaxHeaderBytes: maxHeader, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
	}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := h.Now()
	found, status, err := h.answer(w, r)
	kind := ""
	if found != nil {
		kind = found.Spec.Type
		log := h.Log.WithValues("receiver", found.Namespace+"/"+found.Name, "type", kind, "status", status)
		if err != nil {
			log.Error(err, "webhook refused")
		} else {
			log.Info("webhook handled")
		}
	}
	h.Metrics.Webhook(kind, status, h.Now().Sub(began))
	var told *refusal
	if errors.As(err, &told) {
		http.Error(w, told.Error(), status)
		return
	}
	w.WriteHeader(status)
}

// answer does what a call asks for and returns the status that says how it went.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request) (*notificationv1.Receiver, int, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), maxTime)
	defer cancel()
	if !strings.HasPrefix(r.URL.Path, notificationv1.ReceiverWebhookPath) {
		return nil, http.StatusNotFound, nil
	}
	found, err := h.Find(ctx, r.URL.Path)
	switch {
	case err != nil:
		h.Log.Error(err, "looking for the receiver of a webhook")
		return nil, http.StatusInternalServerError, nil
	case found == nil:
		return nil, http.StatusNotFound, nil
	case found.Spec.Suspend:
		return found, http.StatusServiceUnavailable, errors.New("the receiver is suspended")
	case !apimeta.IsStatusConditionTrue(found.Status.Conditions, meta.ReadyCondition):
		return found, http.StatusServiceUnavailable, errors.New("the receiver is not ready")
	case !h.rates.mayCall(found.UID):
		return found, http.StatusTooManyRequests, errors.New("too many calls")
	}
	call, err := h.admit(ctx, found, w, r)
	if err != nil {
		return found, http.StatusBadRequest, err
	}
	if !h.rates.mayAsk(found.UID) {
		return found, http.StatusTooManyRequests, errors.New("too many authenticated calls")
	}
	if err := h.ask(ctx, found, call); err != nil {
		return found, http.StatusInternalServerError, err
	}
	return found, http.StatusOK, nil
}

// refusal is what a caller is told.
type refusal struct{ text string }

// Error implements error.
func (r *refusal) Error() string { return r.text }
