package trace

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"holdfast.dev/holdfast/internal/model/fault"
)

// scope names the program as the maker of spans.
const scope = "holdfast.dev/holdfast"

// Options say where to look and who we are.
type Options struct {
	// Lookup reads the environment, as os.LookupEnv does. The exporter reads the details itself.
	Lookup func(name string) (string, bool)
	// Version is the program's.
	Version string
}

// Tracing makes tracers, and sends what they record until it is shut down.
type Tracing struct {
	provider trace.TracerProvider
	shutdown func(ctx context.Context) error
}

// Start reads the environment and connects to a collector, where one is named. It returns without
// waiting for the collector.
func Start(ctx context.Context, options Options) (*Tracing, error) {
	if !wanted(options.Lookup) {
		return &Tracing{provider: noop.NewTracerProvider(), shutdown: func(context.Context) error { return nil }}, nil
	}
	exporter, err := exporterOf(ctx, options.Lookup)
	if err != nil {
		return nil, fmt.Errorf("preparing traces: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "holdfast"), attribute.String("service.version", options.Version)),
		resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithFromEnv(), // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win
	)
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("preparing traces: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return &Tracing{provider: provider, shutdown: provider.Shutdown}, nil
}

// wanted tells whether the environment asks for traces.
func wanted(lookup func(string) (string, bool)) bool {
	if lookup == nil {
		return false
	}
	if disabled, _ := lookup("OTEL_SDK_DISABLED"); disabled == "true" {
		return false
	}
	if exporter, _ := lookup("OTEL_TRACES_EXPORTER"); exporter == "none" {
		return false
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		if endpoint, _ := lookup(name); endpoint != "" {
			return true
		}
	}
	return false
}

func exporterOf(ctx context.Context, lookup func(string) (string, bool)) (*otlptrace.Exporter, error) {
	protocol := "http/protobuf"
	for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} {
		if named, _ := lookup(name); named != "" {
			protocol = named
		}
	}
	switch protocol {
	case "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: it must be http/protobuf or grpc", protocol)
	}
}

// Tracer returns what spans are begun with. It is safe for concurrent use, and for use after Shutdown.
func (t *Tracing) Tracer() trace.Tracer { return t.provider.Tracer(scope) }

// flushTime bounds how long the last spans may take.
const flushTime = 5 * time.Second

// Shutdown sends what is left and ends.
func (t *Tracing) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
	defer cancel()
	if err := t.shutdown(ctx); err != nil {
		return fmt.Errorf("sending the last traces: %w", err)
	}
	return nil
}

// End ends a span with the outcome of what it spans. Of an error, it tells the reason alone: the text
// may quote what others sent.
func End(span trace.Span, err error) {
	if err != nil {
		reason := fault.ReasonOf(err, "Failed")
		span.SetAttributes(attribute.String("holdfast.reason", reason))
		span.SetStatus(codes.Error, reason)
	}
	span.End()
}

// Address is an address as an attribute, without what may be a credential in it.
func Address(key, address string) attribute.KeyValue {
	parsed, err := url.Parse(address)
	if err != nil {
		return attribute.String(key, "")
	}
	parsed.User, parsed.RawQuery, parsed.Fragment = nil, "", ""
	return attribute.String(key, parsed.String())
}
