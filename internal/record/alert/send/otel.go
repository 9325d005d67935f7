package send

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// otel sends an event as a span: https://opentelemetry.io/docs/specs/otlp/#otlphttp-request
// What one provider is told of one revision is one trace.
func otel(t Target, m Message) ([]request, error) {
	if err := t.needs("address"); err != nil {
		return nil, err
	}
	address, err := parse(t.Address.Reveal())
	if err != nil {
		return nil, err
	}
	if strings.Trim(address.Path, "/") == "" {
		address = address.JoinPath("v1", "traces")
	}
	body, err := proto.Marshal(m.span(t.UID))
	if err != nil {
		return nil, fmt.Errorf("encoding the message: %w", err)
	}
	made := request{url: address.String(), body: body, header: map[string]string{"Content-Type": "application/x-protobuf"}}
	switch {
	case t.Username != "" && t.Password.Reveal() != "":
		made.header["Authorization"] = basic(t.Username, t.Password.Reveal())
	case t.Token.Reveal() != "":
		made.header["Authorization"] = t.bearer()[1]
	}
	for name, value := range t.Headers {
		made.header[name] = value.Reveal()
	}
	return []request{made}, nil
}

// span writes a message as OTLP. Its numbers follow from what it says, so that a message that is sent
// again is the same span again.
func (m Message) span(uid string) *collector.ExportTraceServiceRequest {
	revision := m.Revision()
	if revision == "" {
		revision = "unknown"
	}
	traceID, spanID := sha256.Sum256([]byte(uid+":"+revision)), sha256.Sum256([]byte(string(m.InvolvedObject.UID)+":"+m.Key()))
	at := uint64(max(m.Timestamp.UnixNano(), 0))
	span := &trace.Span{
		TraceId: traceID[:16], SpanId: spanID[:8], Kind: trace.Span_SPAN_KIND_INTERNAL, StartTimeUnixNano: at, EndTimeUnixNano: at,
		Name:   m.InvolvedObject.Kind + ": " + m.InvolvedObject.Namespace + "/" + m.InvolvedObject.Name,
		Status: &trace.Status{Code: trace.Status_STATUS_CODE_OK},
		Attributes: attributes("object.uid", string(m.InvolvedObject.UID), "object.kind", m.InvolvedObject.Kind,
			"object.name", m.InvolvedObject.Name, "object.namespace", m.InvolvedObject.Namespace, "event.reason", m.Reason, "event.message", m.Event.Message),
	}
	if m.bad() {
		span.Status = &trace.Status{Code: trace.Status_STATUS_CODE_ERROR, Message: m.Event.Message}
	}
	for _, f := range m.fields() {
		span.Attributes = append(span.Attributes, attributes(f.key, f.value)...)
	}
	instance := sha256.Sum256([]byte(uid))
	return &collector.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{
		Resource: &resource.Resource{Attributes: attributes("service.name", "holdfast", "service.namespace", m.InvolvedObject.Namespace,
			"service.instance.id", hex.EncodeToString(instance[:8]))},
		ScopeSpans: []*trace.ScopeSpans{{Scope: &common.InstrumentationScope{Name: "holdfast/alerts"}, Spans: []*trace.Span{span}}},
	}}}
}

// attributes makes attributes of pairs of name and value.
func attributes(pairs ...string) []*common.KeyValue {
	var made []*common.KeyValue
	for i := 0; i+1 < len(pairs); i += 2 {
		text := &common.AnyValue_StringValue{StringValue: strings.ToValidUTF8(pairs[i+1], "�")}
		made = append(made, &common.KeyValue{Key: strings.ToValidUTF8(pairs[i], "�"), Value: &common.AnyValue{Value: text}})
	}
	return made
}
