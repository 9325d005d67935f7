package send

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"holdfast.dev/holdfast/internal/record/event"
)

// progressing tells whether the event is neither success nor failure.
func (m Message) progressing() bool { return m.Reason == event.Progressing }

// once is the same for every attempt to send this message, and for no other message.
func (m Message) once() string {
	sum := sha256.Sum256([]byte(m.Key() + m.Timestamp.UTC().Format(time.RFC3339)))
	return hex.EncodeToString(sum[:16])
}

// subject is the object with the summary before it, and words are the reason in words, for services
// that show one line.
func (m Message) subject() string {
	subject := m.InvolvedObject.Kind + "/" + m.InvolvedObject.Name
	if summary := m.Metadata[event.SummaryKey]; summary != "" {
		subject = summary + "/" + subject
	}
	return strings.ToLower(subject)
}

func (m Message) words() string {
	var words strings.Builder
	runes := []rune(m.Reason)
	upper := func(i int) bool { return i >= 0 && i < len(runes) && runes[i] >= 'A' && runes[i] <= 'Z' }
	for i, r := range runes {
		if i > 0 && upper(i) && (!upper(i-1) || i+1 < len(runes) && !upper(i+1)) {
			words.WriteByte(' ')
		}
		words.WriteRune(r)
	}
	return strings.ToLower(words.String())
}

// pagerduty: https://developer.pagerduty.com/docs/send-alert-event and its change events. An error
// triggers the object's incident; anything good resolves it.
func pagerduty(t Target, m Message) ([]request, error) {
	if err := t.needs("address", "channel"); err != nil || m.progressing() {
		return nil, err
	}
	root, err := t.root()
	if err != nil {
		return nil, err
	}
	details := map[string]any{"message": m.Event.Message, "metadata": m.Metadata}
	summary, source, at := cut(m.words()+": "+m.subject(), 1024), "Flux "+m.ReportingController, m.Timestamp.UTC().Format(time.RFC3339)
	alert := map[string]any{"routing_key": t.Channel, "event_action": "resolve", "dedup_key": string(m.InvolvedObject.UID)}
	if m.bad() {
		alert["event_action"] = "trigger"
		alert["payload"] = map[string]any{
			"summary": summary, "source": source, "severity": "error", "timestamp": at,
			"component": m.InvolvedObject.Name, "group": m.InvolvedObject.Kind, "custom_details": details,
		}
		return posted(root+"/v2/enqueue", alert)
	}
	requests, err := posted(root+"/v2/enqueue", alert)
	if err != nil {
		return nil, err
	}
	change, err := posted(root+"/v2/change/enqueue", map[string]any{
		"routing_key": t.Channel,
		"payload":     map[string]any{"summary": summary, "source": source, "timestamp": at, "custom_details": details},
	})
	return append(requests, change...), err
}

// opsgenie: https://docs.opsgenie.com/docs/alert-api. The alias is the object, so that a recovery
// closes what the failure opened.
func opsgenie(t Target, m Message) ([]request, error) {
	if err := t.needs("address", "token"); err != nil {
		return nil, err
	}
	key := []string{"Authorization", "GenieKey " + t.Token.Reveal()}
	alias := string(m.InvolvedObject.UID)
	if m.Recovery && alias != "" {
		address, err := t.below(alias, "close")
		if err != nil {
			return nil, err
		}
		return posted(address+"?identifierType=alias", map[string]string{"note": cut(m.Event.Message, 25000), "source": m.ReportingController}, key...)
	}
	alert := map[string]any{
		"message":     cut(m.InvolvedObject.Kind+"/"+m.InvolvedObject.Name, 130),
		"description": cut(m.Event.Message, 15000),
		"details":     merged(m.Metadata, map[string]string{"severity": m.Severity}),
	}
	if alias != "" && m.bad() {
		alert["alias"] = alias
	}
	return posted(t.Address.Reveal(), alert, key...)
}

// incidentio: https://docs.incident.io/alerts/custom-http
func incidentio(t Target, m Message) ([]request, error) {
	if err := t.needs("address", "token"); err != nil || m.progressing() {
		return nil, err
	}
	return posted(t.Address.Reveal(), map[string]any{
		"title": m.who() + ": " + m.Reason, "status": m.either("resolved", "firing"),
		"deduplication_key": string(m.InvolvedObject.UID), "description": m.Event.Message,
		"metadata": merged(m.Metadata, map[string]string{"severity": m.Severity, "reason": m.Reason, "reportingController": m.ReportingController}),
	}, t.bearer()...)
}

// alertmanager: https://prometheus.io/docs/alerting/latest/alerts_api/
func alertmanager(t Target, m Message) ([]request, error) {
	if err := t.needs("address"); err != nil {
		return nil, err
	}
	annotations := map[string]string{"message": m.Event.Message}
	labels := merged(m.Metadata)
	if summary, found := labels[event.SummaryKey]; found {
		annotations[event.SummaryKey] = summary
		delete(labels, event.SummaryKey)
	}
	reason := m.Reason
	if reason != "" {
		reason = strings.ToUpper(reason[:1]) + reason[1:]
	}
	o := m.InvolvedObject
	labels = merged(labels, map[string]string{
		"alertname": "Flux" + o.Kind + reason, "severity": m.Severity, "reason": m.Reason,
		"kind": o.Kind, "name": o.Name, "namespace": o.Namespace, "reportingcontroller": m.ReportingController,
	})
	return posted(t.Address.Reveal(), []any{map[string]any{
		"status": "firing", "labels": labels, "annotations": annotations, "startsAt": m.Timestamp.UTC().Format(time.RFC3339),
	}}, t.bearer()...)
}

// grafana: https://grafana.com/docs/grafana/latest/developers/http_api/annotations/#create-annotation-in-graphite-format
func grafana(t Target, m Message) ([]request, error) {
	if err := t.needs("address"); err != nil {
		return nil, err
	}
	o := m.InvolvedObject
	tags := []string{"flux", m.ReportingController, "kind: " + o.Kind, "name: " + o.Name, "namespace: " + o.Namespace}
	for _, f := range m.fields() {
		tags = append(tags, f.key+": "+f.value)
	}
	header := t.bearer()
	if len(header) == 0 && t.Username != "" && t.Password.Reveal() != "" {
		header = []string{"Authorization", basic(t.Username, t.Password.Reveal())}
	}
	return posted(t.Address.Reveal(), map[string]any{"when": m.Timestamp.Unix(), "text": m.who(), "tags": tags}, header...)
}

// datadog: https://docs.datadoghq.com/api/latest/events/#post-an-event
func datadog(t Target, m Message) ([]request, error) {
	if err := t.needs("address", "token"); err != nil {
		return nil, err
	}
	root, err := t.root()
	if err != nil {
		return nil, err
	}
	o := m.InvolvedObject
	tags := []string{
		"flux_reporting_controller:" + m.ReportingController, "flux_reason:" + m.Reason,
		"kube_kind:" + o.Kind, "kube_name:" + o.Name, "kube_namespace:" + o.Namespace,
	}
	for _, f := range m.fields() {
		tags = append(tags, f.key+":"+f.value)
	}
	for i := range tags {
		tags[i] = strings.ToLower(tags[i])
	}
	return posted(root+"/api/v1/events", map[string]any{
		"title": fmt.Sprintf("Events from the %s %s/%s", o.Kind, o.Name, o.Namespace), "text": cut(m.Event.Message, 3900),
		"tags": tags, "source_type_name": "fluxcd", "date_happened": m.Timestamp.Unix(), "alert_type": m.either("info", "error"),
	}, "DD-API-KEY", t.Token.Reveal())
}

// sentry: https://develop.sentry.dev/sdk/data-model/envelopes/. An error is an event, all else a trace.
func sentry(t Target, m Message) ([]request, error) {
	dsn, err := parse(t.Address.Reveal())
	if err != nil || dsn.User == nil {
		return nil, fmt.Errorf("a sentry provider needs a DSN as its address: %w", errAddress)
	}
	cutAt := strings.LastIndex(dsn.Path, "/")
	if cutAt < 0 || dsn.Path[cutAt+1:] == "" {
		return nil, fmt.Errorf("a sentry provider needs a DSN as its address: %w", errAddress)
	}
	endpoint := dsn.Scheme + "://" + dsn.Host + dsn.Path[:cutAt] + "/api/" + dsn.Path[cutAt+1:] + "/envelope/"
	kind, payload := "event", sentryEvent(m)
	if !m.bad() {
		kind, payload = "transaction", sentryTrace(m)
	}
	payload["event_id"], payload["environment"], payload["platform"] = m.once(), t.Channel, "go"
	var body []byte
	for _, part := range []any{map[string]string{"event_id": m.once()}, map[string]string{"type": kind}, payload} {
		encoded, err := json.Marshal(part)
		if err != nil {
			return nil, fmt.Errorf("encoding the message: %w", err)
		}
		body = append(append(body, encoded...), '\n')
	}
	return []request{{url: endpoint, body: body, header: map[string]string{
		"Content-Type":  "application/x-sentry-envelope",
		"X-Sentry-Auth": "Sentry sentry_version=7, sentry_client=holdfast/1.0, sentry_key=" + dsn.User.Username(),
	}}}, nil
}

func (m Message) transaction() string {
	return m.InvolvedObject.Kind + ": " + m.InvolvedObject.Namespace + "/" + m.InvolvedObject.Name
}

func sentryEvent(m Message) map[string]any {
	return map[string]any{
		"timestamp": m.Timestamp.UTC().Format(time.RFC3339), "level": m.Severity, "server_name": m.ReportingController,
		"transaction": m.transaction(), "message": map[string]string{"formatted": cut(m.Event.Message, 8000)}, "extra": m.Metadata,
	}
}

func sentryTrace(m Message) map[string]any {
	at := m.Timestamp.UTC().Format(time.RFC3339)
	o := m.InvolvedObject
	return map[string]any{
		"type": "transaction", "transaction": m.transaction(), "timestamp": at, "start_timestamp": at,
		"message":  map[string]string{"formatted": cut(m.Event.Message, 8000)},
		"contexts": map[string]any{"trace": map[string]string{"trace_id": m.once(), "span_id": m.once()[:16], "op": "event", "status": "ok"}},
		"tags": merged(m.Metadata, map[string]string{
			"flux_involved_object_kind": o.Kind, "flux_involved_object_namespace": o.Namespace, "flux_involved_object_name": o.Name,
			"flux_reporting_controller": m.ReportingController, "flux_reporting_instance": m.ReportingInstance, "flux_reason": m.Reason,
		}),
	}
}
