package operator_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast.dev/holdfast/internal/operator"
)

// scrape reads what a daemon serves to Prometheus.
func scrape(t *testing.T, d *daemon) string {
	t.Helper()
	response, err := http.Get("http://" + d.MetricsHost() + "/metrics")
	check(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(t, err)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("scraping: %s\n%s", response.Status, body)
	}
	return string(body)
}

// TestScrape: a delivery shows in Flux's metrics and in ours, and a unit that is gone in none.
func TestScrape(t *testing.T) {
	t.Parallel()
	w := newOwnWorld(t, func(c *operator.Config) { c.MetricsAddress = "127.0.0.1:0" })
	revision := w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings")}).Status.LastAppliedRevision
	place := `namespace="` + w.namespace + `"`
	wanted := []string{
		`customresource_kind="Kustomization",customresource_version="v1",exported_` + place + `,name="apps",ready="True",revision="` + revision + `",source_name="platform",suspended="false"} 1`,
		`gotk_reconcile_condition{kind="GitRepository",name="platform",` + place + `,status="True",type="Ready"} 1`,
		`gotk_reconcile_duration_seconds_count{kind="Kustomization",name="apps",` + place + `}`,
		`holdfast_api_requests_total{code="2xx",verb="apply"}`, `holdfast_api_requests_total{code="2xx",verb="watch"}`,
		`holdfast_builds_total{result="built"}`, `holdfast_watched_units 1`, `holdfast_reconcile_api_requests_count{kind="Kustomization"}`,
		`controller_runtime_reconcile_total{controller="kustomization"`, `workqueue_depth{`, `go_goroutines`,
	}
	deadline := time.Now().Add(patience)
	for _, text := range wanted { // the status may be ahead of the cache
		for seen := scrape(t, w.daemon); !strings.Contains(seen, text); seen = scrape(t, w.daemon) {
			if time.Now().After(deadline) {
				t.Fatalf("%s is missing in\n%s", text, seen)
			}
		}
	}
	w.remove("apps")
	for strings.Contains(scrape(t, w.daemon), `name="apps",`+place) {
		if time.Now().After(deadline) {
			t.Fatalf("the unit is gone and still shown:\n%s", scrape(t, w.daemon))
		}
	}
}
