package operator

import (
	"net/url"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"holdfast.dev/holdfast/internal/record/metric"
	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

// TestLooksAtRemotesAreTraced: each look is a span and counted, and neither tells a credential.
func TestLooksAtRemotesAreTraced(t *testing.T) {
	t.Parallel()
	repository := gittest.Serve(t, gittest.Options{}).Repository(t, "platform")
	hash := repository.Apply(t, gittest.Change{Files: map[string]string{"a": "b"}})
	spans := tracetest.NewInMemoryExporter()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)).Tracer("test")
	set := metric.New(metric.Options{})
	fetcher := watchedFetcher{git.New(git.Options{Dir: t.TempDir()}), set, tracer}

	address, err := url.Parse(repository.URL())
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword("somebody", "canary")
	result, err := fetcher.Fetch(t.Context(), git.Request{URL: address.String(), Reference: git.Reference{Branch: gittest.DefaultBranch}})
	if err != nil {
		t.Fatal(err)
	}
	_ = result.Files.Close()
	if _, err := fetcher.Fetch(t.Context(), git.Request{URL: address.String(), Reference: git.Reference{Branch: "missing"}}); err == nil {
		t.Fatal("a branch that is not there was found")
	}
	seen := spans.GetSpans()
	if len(seen) != 2 || seen[0].Name != "fetch source" || seen[0].Status.Code == codes.Error || seen[1].Status.Code != codes.Error {
		t.Fatalf("spans: %+v", seen)
	}
	var told strings.Builder
	for _, span := range seen {
		told.WriteString(span.Status.Description)
		for _, one := range span.Attributes {
			told.WriteString(" " + string(one.Key) + "=" + one.Value.Emit())
		}
	}
	if text := told.String(); !strings.Contains(text, hash) || strings.Contains(text, "canary") || strings.Contains(text, "somebody") {
		t.Errorf("told: %s", text)
	}
	families, err := set.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "holdfast_source_fetch_seconds" && len(family.GetMetric()) == 2 {
			return
		}
	}
	t.Error("the looks were not counted by their results")
}
