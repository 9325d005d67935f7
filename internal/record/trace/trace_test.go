package trace_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/record/trace"
)

// sink is a collector that keeps what it is sent.
type sink struct {
	lock     sync.Mutex
	raw      bytes.Buffer
	requests []*collector.ExportTraceServiceRequest
	paths    []string
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &request) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	s.raw.Write(body)
	s.requests = append(s.requests, &request)
	s.paths = append(s.paths, r.URL.Path)
}

// names returns the names of the spans and the attributes of their resource.
func (s *sink) names() (spans []string, resource map[string]string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	resource = map[string]string{}
	for _, request := range s.requests {
		for _, one := range request.GetResourceSpans() {
			for _, pair := range one.GetResource().GetAttributes() {
				resource[pair.GetKey()] = pair.GetValue().GetStringValue()
			}
			for _, scope := range one.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					spans = append(spans, span.GetName())
				}
			}
		}
	}
	slices.Sort(spans)
	return spans, resource
}

// TestSpansArrive: what was recorded is sent by the time that the program has ended, and no secret is.
func TestSpansArrive(t *testing.T) {
	kept := &sink{}
	server := httptest.NewServer(kept)
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
	tracing, err := trace.Start(t.Context(), trace.Options{Lookup: os.LookupEnv, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, parent := tracing.Tracer().Start(t.Context(), "deliver")
	_, child := tracing.Tracer().Start(ctx, "fetch")
	child.SetAttributes(trace.Address("url", "https://someone:canary@git.example/platform?sig=canary#canary"))
	trace.End(child, fault.Because("GitOperationFailed", errors.New("denied: canary")))
	trace.End(parent, nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel() // the program is told to stop before its spans are sent
	if err := tracing.Shutdown(ended); err != nil {
		t.Fatal(err)
	}
	spans, resource := kept.names()
	if diff := cmp.Diff([]string{"deliver", "fetch"}, spans); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	for key, want := range map[string]string{"service.name": "holdfast", "service.version": "1.2.3", "deployment.environment": "test"} {
		if resource[key] != want {
			t.Errorf("%s is %q, want %q", key, resource[key], want)
		}
	}
	if bytes.Contains(kept.raw.Bytes(), []byte("canary")) {
		t.Error("a secret was sent")
	}
	if !bytes.Contains(kept.raw.Bytes(), []byte("GitOperationFailed")) {
		t.Error("the reason was not sent")
	}
	if diff := cmp.Diff([]string{"/v1/traces"}, slices.Compact(kept.paths)); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

func TestSamplerOfTheEnvironment(t *testing.T) {
	kept := &sink{}
	server := httptest.NewServer(kept)
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", server.URL+"/v1/traces")
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	tracing, err := trace.Start(t.Context(), trace.Options{Lookup: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	_, span := tracing.Tracer().Start(t.Context(), "deliver")
	span.End()
	if err := tracing.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if spans, _ := kept.names(); len(spans) > 0 {
		t.Errorf("sent %v", spans)
	}
}

func TestWhenTracesAreWanted(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		why         string
		environment map[string]string
		records     bool
		fails       bool
	}{
		"Nothing":  {why: "without a word, nothing is recorded"},
		"Disabled": {why: "the standard switch", environment: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}},
		"None":     {why: "the other standard switch", environment: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}},
		"Endpoint": {why: "an endpoint is enough", environment: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, records: true},
		"GRPC":     {why: "the other protocol", environment: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, records: true},
		"Protocol": {why: "one that nobody speaks is told", environment: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon"}, fails: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tracing, err := trace.Start(t.Context(), trace.Options{Lookup: func(name string) (string, bool) {
				value, found := c.environment[name]
				return value, found
			}})
			if (err != nil) != c.fails {
				t.Fatalf("%s: error %v", c.why, err)
			}
			if err != nil {
				return
			}
			_, span := tracing.Tracer().Start(t.Context(), "deliver")
			if span.IsRecording() != c.records {
				t.Errorf("%s: recording is %t", c.why, span.IsRecording())
			}
		})
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	want := attribute.String("url", "ssh://git.example/platform")
	if got := trace.Address("url", "ssh://git:canary@git.example/platform"); got != want {
		t.Errorf("got %v", got)
	}
	if got := trace.Address("url", "://canary"); got.Value.AsString() != "" {
		t.Errorf("got %v", got)
	}
}
