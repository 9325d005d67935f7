package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"

	"holdfast.dev/holdfast/internal/model/redact"
)

// call is a webhook call that has proven where it comes from, as far as its type can.
type call struct {
	// payload is the JSON object in the call's body, empty where there is none.
	payload map[string]any
	// unread says why the body could not be read, where only filters need it.
	unread error
	// claims are those of the caller's OIDC token, empty for other types.
	claims map[string]any
}

// message is a call as it came in. Its body is raw: nobody has looked into it.
type message struct {
	header http.Header
	body   []byte
}

// admit makes sure that a call may act, and only then reads it.
func (h *Handler) admit(ctx context.Context, r *notificationv1.Receiver, w http.ResponseWriter, request *http.Request) (call, error) {
	var secret map[string][]byte
	var claims map[string]any
	var err error
	if r.Spec.Type == notificationv1.GenericOIDCReceiver {
		claims, err = h.Issuers.authorise(ctx, r.Spec.OIDCProviders, request.Header.Get("Authorization"))
	} else {
		secret, err = h.secretOf(ctx, r)
	}
	if err != nil {
		return call{}, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxBody))
	if err != nil {
		return call{}, fmt.Errorf("reading the call: %w", err)
	}
	given := message{header: request.Header, body: body}
	if err := h.authenticate(ctx, r.Spec.Type, given, secret); err != nil {
		return call{}, err
	}
	if err := allowed(r, given.header); err != nil {
		return call{}, err
	}
	understood, err := read(r.Spec.Type, given)
	understood.claims = claims
	return understood, err
}

// secretOf reads the Secret of a Receiver. A token that is missing or empty is no token: it would open
// the webhook to everybody.
func (h *Handler) secretOf(ctx context.Context, r *notificationv1.Receiver) (map[string][]byte, error) {
	if r.Spec.SecretRef == nil {
		return nil, errors.New("the receiver names no Secret")
	}
	data, err := h.Secret(ctx, r.Namespace, r.Spec.SecretRef.Name)
	if err != nil {
		return nil, fmt.Errorf("reading token from Secret '%s/%s': %w", r.Namespace, r.Spec.SecretRef.Name, err)
	}
	if len(data["token"]) == 0 {
		return nil, fmt.Errorf("the Secret '%s/%s' has no 'token'", r.Namespace, r.Spec.SecretRef.Name)
	}
	return data, nil
}

// authenticate checks who sent a message. Types that are not listed have no means to: their path is
// the secret.
func (h *Handler) authenticate(ctx context.Context, kind string, m message, secret map[string][]byte) error {
	token := redact.Bytes(secret["token"])
	switch kind {
	case notificationv1.GenericHMACReceiver:
		return signed(m.header.Get("X-Signature"), m.body, token)
	case notificationv1.GitHubReceiver, notificationv1.BitbucketReceiver:
		signature := m.header.Get("X-Hub-Signature-256")
		if signature == "" {
			signature = m.header.Get("X-Hub-Signature")
		}
		return signed(signature, m.body, token)
	case notificationv1.GitLabReceiver:
		return carries(m.header, "X-Gitlab-Token", token)
	case notificationv1.HarborReceiver:
		return carries(m.header, "Authorization", token)
	case notificationv1.NexusReceiver:
		return signed("sha1="+m.header.Get("X-Nexus-Webhook-Signature"), m.body, token)
	case notificationv1.GCRReceiver:
		return h.Issuers.google(ctx, m.header.Get("Authorization"), string(secret["email"]), string(secret["audience"]))
	case notificationv1.GenericReceiver, notificationv1.GenericOIDCReceiver, notificationv1.DockerHubReceiver,
		notificationv1.QuayReceiver, notificationv1.ACRReceiver, notificationv1.CDEventsReceiver:
		return nil
	default:
		return fmt.Errorf("receivers of type %q are not supported", kind)
	}
}

// allowed checks that a Receiver wants to hear of an event.
func allowed(r *notificationv1.Receiver, header http.Header) error {
	name := map[string]string{
		notificationv1.GitHubReceiver: "X-Github-Event", notificationv1.GitLabReceiver: "X-Gitlab-Event",
		notificationv1.BitbucketReceiver: "X-Event-Key", notificationv1.CDEventsReceiver: "Ce-Type",
	}[r.Spec.Type]
	if name == "" || len(r.Spec.Events) == 0 {
		return nil
	}
	event := header.Get(name)
	if !slices.ContainsFunc(r.Spec.Events, func(wanted string) bool { return strings.EqualFold(wanted, event) }) {
		return fmt.Errorf("the event %.100q is not among the receiver's", event)
	}
	return nil
}

// read parses a message for filters, and refuses what the type's sender would never send. Of types
// without a fixed form, what cannot be read matters to filters alone.
func read(kind string, m message) (call, error) {
	var payload map[string]any
	var err error
	switch kind {
	case notificationv1.GitHubReceiver:
		var body []byte
		if body, err = formOf(m); err == nil {
			payload, err = objectIn(body)
		}
	case notificationv1.QuayReceiver, notificationv1.DockerHubReceiver, notificationv1.ACRReceiver, notificationv1.NexusReceiver:
		payload, err = objectIn(m.body)
	case notificationv1.GCRReceiver:
		payload, err = pushed(m.body)
	case notificationv1.CDEventsReceiver:
		payload, err = cdevent(m.body)
	default:
		given := call{payload: map[string]any{}}
		if isJSON(m.header) {
			if given.payload, given.unread = objectIn(m.body); given.unread != nil {
				given.payload = map[string]any{}
			}
		}
		return given, nil
	}
	return call{payload: payload}, err
}

func objectIn(body []byte) (map[string]any, error) {
	var payload map[string]any
	if err := json.Unmarshal(body, &payload); err != nil || payload == nil {
		return nil, errors.New("decoding the payload: it is no JSON object")
	}
	return payload, nil
}

// formOf returns the payload of a message that GitHub may send as a form. The signature covers the
// form.
func formOf(m message) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(m.header.Get("Content-Type"))
	switch {
	case err != nil:
		return nil, errors.New("the content type cannot be read")
	case kind == "application/json":
		return m.body, nil
	case kind != "application/x-www-form-urlencoded":
		return nil, fmt.Errorf("the content type %.100q is not one that GitHub sends", kind)
	}
	form, err := url.ParseQuery(string(m.body))
	if err != nil {
		return nil, errors.New("decoding the payload: it is no form")
	}
	return []byte(form.Get("payload")), nil
}

func isJSON(header http.Header) bool {
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}
