package operator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/operator"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/metric"
)

// monitoring is where dashboards and alerts are.
const monitoring = "../../config/monitoring"

// TestMonitoringAsksForWhatThereIs: a dashboard with a misspelt metric is empty, and an alert with one
// never fires. Each metric and label that they name is one that a running operator exports.
func TestMonitoringAsksForWhatThereIs(t *testing.T) {
	t.Parallel()
	w := newOwnWorld(t, func(c *operator.Config) { c.MetricsAddress = "127.0.0.1:0" })
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings")})
	happen(t, w.daemon.Metrics())
	exported := exports(t, w.daemon)

	expressions := expressionsIn(t)
	if len(expressions) < 40 {
		t.Fatalf("found only %d expressions", len(expressions))
	}
	for _, one := range expressions {
		used, err := readQuery(one.text)
		if err != nil {
			t.Errorf("%s: %s\n\t%v", one.place, one.text, err)
			continue
		}
		var labels []string
		for _, selector := range used.selectors {
			known, found := exported[selector.metric]
			if !found {
				t.Errorf("%s: nobody exports %s", one.place, selector.metric)
				continue
			}
			labels = append(labels, known...)
			for _, label := range selector.labels {
				if !slices.Contains(known, label) {
					t.Errorf("%s: %s has no label %s, it has %v", one.place, selector.metric, label, known)
				}
			}
		}
		for _, label := range used.groups {
			if !slices.Contains(labels, label) {
				t.Errorf("%s: grouped by %s, which none of its metrics has: %s", one.place, label, one.text)
			}
		}
	}
}

// happen makes everything happen that is counted.
func happen(t *testing.T, set *metric.Set) {
	t.Helper()
	unit := record.Subject{Kind: "OfAnother", Namespace: "apps", Name: "web"} // of a kind whose resources nobody looks at here
	source := record.Subject{Kind: "GitRepository", Namespace: "apps", Name: "platform"}
	now := time.Now()
	tell := func(about record.Subject, kinds ...record.Kind) {
		for i, kind := range kinds {
			check(t, set.Record(context.Background(), record.Entry{
				At: now.Add(time.Duration(i) * time.Second), Kind: kind, Subject: about, Revision: record.Revision{Name: "main@sha1:1"},
				Stages: []record.Stage{{Name: "apply", Took: time.Second}}, Objects: []record.Touched{{Ref: object.Ref{Kind: "ConfigMap", Name: "a"}}},
			}))
		}
	}
	tell(source, record.RevisionSeen, record.SourceFailed, record.RevisionRejected)
	tell(unit, record.ReleaseBegun, record.ReleaseApplied, record.ReleaseGood, record.ReleaseFailed, record.RollbackBegun, record.RolledBack,
		record.RollbackFailed, record.Held, record.Frozen, record.DriftCorrected, record.Contested, record.Pruned)
	_ = set.Audited(record.Nowhere()).Record(context.Background(), record.Entry{})
	set.FollowAudit(func() time.Duration { return time.Second })
	set.Alert("slack", errors.New("no route"))
	set.AlertQueue(1, time.Second)
	set.Webhook("github", 200, time.Second)
	set.WebhookRequest("github", nil)
}

// exports returns the labels of each metric that a daemon exports, with those that Prometheus adds.
func exports(t *testing.T, d *daemon) map[string][]string {
	t.Helper()
	scrape(t, d) // it is served at all, and the first scrape learns what the second shows
	exported := map[string][]string{}
	take := func(families []*dto.MetricFamily, err error) {
		check(t, err)
		for _, family := range families {
			name := family.GetName()
			labels := []string{"pod", "job", "instance", "namespace"}
			for _, one := range family.GetMetric() {
				for _, label := range one.GetLabel() {
					labels = append(labels, label.GetName())
					if label.GetName() == "namespace" {
						labels = append(labels, "exported_namespace")
					}
				}
			}
			exported[name] = append(exported[name], labels...)
			if family.GetType() == dto.MetricType_HISTOGRAM {
				exported[name+"_sum"], exported[name+"_count"] = labels, labels
				exported[name+"_bucket"] = append(slices.Clone(labels), "le")
			}
		}
	}
	take(d.Metrics().Gather())
	take(metrics.Registry.Gather())
	return exported
}

// asked is an expression and where it stands.
type asked struct{ place, text string }

// expressionsIn collects the expressions of all dashboards and alerts.
func expressionsIn(t *testing.T) []asked {
	t.Helper()
	var found []asked
	dashboards, err := filepath.Glob(monitoring + "/dashboards/*.json")
	check(t, err)
	variable := regexp.MustCompile(`^label_values\((.*), *([a-z_]+)\)$`)
	for _, name := range dashboards {
		raw, err := os.ReadFile(name)
		check(t, err)
		var board struct {
			Panels []struct {
				Title   string `json:"title"`
				Targets []struct {
					Expr string `json:"expr"`
				} `json:"targets"`
			} `json:"panels"`
			Templating struct {
				List []struct {
					Name, Type string
					Query      any
				} `json:"list"`
			} `json:"templating"`
		}
		check(t, json.Unmarshal(raw, &board))
		for _, panel := range board.Panels {
			for _, target := range panel.Targets {
				found = append(found, asked{filepath.Base(name) + ": " + panel.Title, target.Expr})
			}
		}
		for _, one := range board.Templating.List {
			query, _ := one.Query.(string)
			if match := variable.FindStringSubmatch(query); match != nil {
				found = append(found, asked{filepath.Base(name) + ": variable " + one.Name, "sum by (" + match[2] + ") (" + match[1] + ")"})
			} else if one.Type == "query" {
				t.Errorf("%s: the query of variable %s cannot be read: %v", name, one.Name, one.Query)
			}
		}
	}
	return append(found, alertsIn(t)...)
}

func alertsIn(t *testing.T) []asked {
	t.Helper()
	raw, err := os.ReadFile(monitoring + "/rules.yaml")
	check(t, err)
	var rules struct {
		Spec struct {
			Groups []struct {
				Rules []struct {
					Alert, Expr string
					Annotations map[string]string
				}
			}
		}
	}
	check(t, yaml.Unmarshal(raw, &rules))
	var found []asked
	for _, group := range rules.Spec.Groups {
		for _, rule := range group.Rules {
			found = append(found, asked{"alert " + rule.Alert, rule.Expr})
			if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
				t.Errorf("alert %s does not say what it means and what to do", rule.Alert)
			}
		}
	}
	return found
}

// TestMonitoringBuilds: what an operator's repository would include can be included.
func TestMonitoringBuilds(t *testing.T) {
	t.Parallel()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), monitoring)
	check(t, err)
	var kinds []string
	for _, one := range built.Resources() {
		kinds = append(kinds, one.GetKind()+"/"+one.GetName())
	}
	slices.Sort(kinds)
	if got := strings.Join(kinds, " "); got != "ConfigMap/holdfast-dashboards PodMonitor/holdfast PrometheusRule/holdfast" {
		t.Errorf("built %s", got)
	}
}

// query is what an expression in PromQL looks at.
type query struct {
	selectors []selector
	groups    []string
}

type selector struct {
	metric string
	labels []string
}

var (
	tokens = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[a-zA-Z_:][a-zA-Z0-9_:]*|[0-9.]+[a-z]*|=~|!~|!=|==|>=|<=|[-+*/%^=<>(){},]`)

	functions = strings.Fields("sum max min avg count rate increase histogram_quantile label_replace absent vector time clamp_min topk")
	groupings = strings.Fields("by without on ignoring group_left group_right")
	operators = strings.Fields("or and unless bool offset")
)

// readQuery reads an expression as far as its selectors and groupings go. It refuses what it does not
// know, so that nothing is passed over.
func readQuery(text string) (query, error) {
	text = strings.ReplaceAll(text, "$__rate_interval", "5m")
	list := tokens.FindAllString(text, -1)
	if left := strings.TrimSpace(tokens.ReplaceAllString(text, "")); strings.Join(strings.Fields(left), "") != "" {
		return query{}, fmt.Errorf("%q is no PromQL", left)
	}
	var found query
	depth := 0
	for i := 0; i < len(list); i++ {
		token, next := list[i], ""
		if i+1 < len(list) {
			next = list[i+1]
		}
		switch {
		case token == "(":
			depth++
		case token == ")":
			depth--
		case !isName(token) || slices.Contains(operators, token):
		case slices.Contains(groupings, token):
			end := i + slices.Index(list[i:], ")")
			if next != "(" || end < i {
				return query{}, fmt.Errorf("%s is not followed by labels", token)
			}
			found.groups = append(found.groups, names(list[i+2:end])...)
			i = end
		case slices.Contains(functions, token):
			if next != "(" && !slices.Contains(groupings, next) {
				return query{}, fmt.Errorf("%s is not called", token)
			}
		case next == "(":
			return query{}, fmt.Errorf("there is no function %s", token)
		case next == "{":
			end := i + slices.Index(list[i:], "}")
			if end < i {
				return query{}, fmt.Errorf("the braces behind %s do not end", token)
			}
			found.selectors = append(found.selectors, selector{token, names(list[i+2 : end])})
			i = end
		default:
			found.selectors = append(found.selectors, selector{metric: token})
		}
		if depth < 0 {
			return query{}, errors.New("a parenthesis too many")
		}
	}
	if depth != 0 || len(found.selectors) == 0 {
		return query{}, errors.New("a parenthesis too few, or no metric")
	}
	return found, nil
}

func isName(token string) bool {
	return token[0] == '_' || token[0] >= 'a' && token[0] <= 'z' || token[0] >= 'A' && token[0] <= 'Z'
}

// names returns the names in a list of tokens.
func names(list []string) []string {
	var found []string
	for _, token := range list {
		if isName(token) {
			found = append(found, token)
		}
	}
	return found
}

// TestReadQuery: the test above is worth something only if it sees what it should.
func TestReadQuery(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`sum by (le, kind) (rate(a_bucket{x=~"$n", y!="b c"}[5m])) / count(b) > 0`: "[{a_bucket [x y]} {b []}] [le kind]",
		`a{x="1"} or vector(0)`:      "[{a [x]}] []",
		`histogram_quantile(0.9, a)`: "[{a []}] []",
		`sum(a`:                      "error", `a)`: "error", `summ(a)`: "error", `a{x="1"`: "error", `sum by a`: "error", `1`: "error", `a § b`: "error",
	} {
		found, err := readQuery(text)
		got := fmt.Sprint(found.selectors, " ", found.groups)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
