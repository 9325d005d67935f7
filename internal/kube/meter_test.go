package kube_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/kube"
)

func TestMeterNamesVerbs(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		why                string
		method, path, kind string
		want               string
	}{
		"Get":          {why: "one object", method: "GET", path: "/api/v1/namespaces/apps/configmaps/settings", want: "get"},
		"GetNamespace": {why: "a namespace is an object too", method: "GET", path: "/api/v1/namespaces/apps", want: "get"},
		"GetStatus":    {why: "a subresource belongs to one object", method: "GET", path: "/apis/apps/v1/namespaces/apps/deployments/web/status", want: "get"},
		"List":         {why: "all of a namespace", method: "GET", path: "/apis/apps/v1/namespaces/apps/deployments", want: "list"},
		"ListAll":      {why: "all of a cluster", method: "GET", path: "/api/v1/configmaps?limit=500", want: "list"},
		"Watch":        {why: "a list that goes on", method: "GET", path: "/api/v1/configmaps?watch=true", want: "watch"},
		"Discover":     {why: "what the server serves", method: "GET", path: "/apis/apps/v1", want: "discover"},
		"Version":      {why: "paths that are about no resource", method: "GET", path: "/version", want: "discover"},
		"Prefix":       {why: "a server behind a prefix", method: "GET", path: "/k8s/clusters/c-1/api/v1/configmaps", want: "list"},
		"Create":       {why: "POST creates", method: "POST", path: "/api/v1/namespaces/apps/events", want: "create"},
		"Update":       {why: "PUT replaces", method: "PUT", path: "/api/v1/namespaces/apps/configmaps/a", want: "update"},
		"Delete":       {why: "DELETE deletes", method: "DELETE", path: "/api/v1/namespaces/apps/configmaps/a", want: "delete"},
		"Apply": {
			why: "server-side apply has a content type of its own", method: "PATCH", kind: "application/apply-patch+yaml",
			path: "/api/v1/namespaces/apps/configmaps/a?fieldManager=x&force=true", want: "apply",
		},
		"DryRun": {
			why: "a question is no write", method: "PATCH", kind: "application/apply-patch+yaml",
			path: "/api/v1/namespaces/apps/configmaps/a?dryRun=All&fieldManager=x", want: "dry-run",
		},
		"Patch": {why: "any other patch", method: "PATCH", kind: "application/merge-patch+json", path: "/api/v1/namespaces/a/configmaps/a", want: "patch"},
		"Other": {why: "anything else", method: "OPTIONS", path: "/api/v1/configmaps", want: "other"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	t.Cleanup(server.Close)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var seen []kube.Request
			client := http.Client{Transport: kube.Meter(func(r kube.Request) { seen = append(seen, r) })(http.DefaultTransport)}
			request, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", c.kind)
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if len(seen) != 1 || seen[0].Verb != c.want || seen[0].Status != http.StatusTeapot {
				t.Fatalf("%s: saw %+v, want one %s", c.why, seen, c.want)
			}
			if !slices.Contains(kube.Verbs(), seen[0].Verb) {
				t.Errorf("%s is missing among the verbs", seen[0].Verb)
			}
		})
	}
}

// TestTallyCountsItsOwn: what is done at the same time for others is theirs.
func TestTallyCountsItsOwn(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	client := http.Client{Transport: kube.Meter(func(kube.Request) {})(http.DefaultTransport)}
	send := func(ctx context.Context, times int) {
		for range times {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v1/pods", nil)
			if err != nil {
				t.Error(err)
				return
			}
			response, err := client.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			_ = response.Body.Close()
		}
	}
	one, first := kube.WithTally(t.Context())
	two, second := kube.WithTally(t.Context())
	var group sync.WaitGroup
	group.Go(func() { send(one, 3) })
	group.Go(func() { send(two, 5) })
	group.Go(func() { send(t.Context(), 2) })
	group.Wait()
	if diff := cmp.Diff([]int{3, 5}, []int{first.Count(), second.Count()}); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

// TestMeterTellsOfSilence: a request without an answer is one too.
func TestMeterTellsOfSilence(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	var seen []kube.Request
	client := http.Client{Transport: kube.Meter(func(r kube.Request) { seen = append(seen, r) })(http.DefaultTransport)}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/pods", nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := client.Do(request); err == nil {
		_ = response.Body.Close()
		t.Fatal("a closed server answered")
	}
	if len(seen) != 1 || seen[0].Status != 0 {
		t.Errorf("saw %+v, want one without a status", seen)
	}
}
