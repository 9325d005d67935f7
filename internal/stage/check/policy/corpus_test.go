package policy_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigs "sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/stage/check/policy/celpolicy"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/rule"
	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// suite is one test file of Kyverno's command line.
type suite struct {
	dir       string
	Policies  []string `json:"policies"`
	Resources []string `json:"resources"`
	Variables string   `json:"variables"`
	UserInfo  string   `json:"userinfo"`
	Context   string   `json:"context"`
	Results   []row    `json:"results"`
}

// row is what it expects.
type row struct {
	Policy    string   `json:"policy"`
	Rule      string   `json:"rule"`
	Kind      string   `json:"kind"`
	Resources []string `json:"resources"`
	Result    string   `json:"result"`
	Patched   string   `json:"patchedResources"`
	Generated string   `json:"generatedResource"`
}

// values is the file that says what a rule would read from a cluster.
type values struct {
	Policies []struct {
		Name      string `json:"name"`
		Resources []struct {
			Name   string         `json:"name"`
			Values map[string]any `json:"values"`
		} `json:"resources"`
		Rules []struct {
			Name   string         `json:"name"`
			Values map[string]any `json:"values"`
		} `json:"rules"`
	} `json:"policies"`
	Namespaces        []map[string]any `json:"namespaces"`
	NamespaceSelector []struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
	} `json:"namespaceSelector"`
}

// corpus finds Kyverno's policies.
func corpus(t testing.TB) string {
	t.Helper()
	root := os.Getenv("HOLDFAST_CORPORA")
	if root == "" {
		root = "/work/shared/corpora"
	}
	root = filepath.Join(root, "kyverno-policies")
	if _, err := os.Stat(root); err != nil {
		t.Skip("needs the corpus of Kyverno's policies: set HOLDFAST_CORPORA")
	}
	return root
}

func suites(t testing.TB) []suite {
	t.Helper()
	var all []suite
	err := filepath.WalkDir(corpus(t), func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "kyverno-test.yaml" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		one := suite{dir: filepath.Dir(path)}
		all = append(all, one)
		return sigs.Unmarshal(raw, &all[len(all)-1])
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// documents reads the objects of files.
func (s suite) documents(t testing.TB, names ...string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for _, name := range names {
		raw, err := os.ReadFile(filepath.Join(s.dir, name))
		if os.IsNotExist(err) {
			continue // the corpus is a part of the library: some files are not in it
		}
		if err != nil {
			t.Fatal(err)
		}
		decoder := yaml.NewYAMLToJSONDecoder(strings.NewReader(string(raw)))
		for {
			var one rawJSON
			if err := decoder.Decode(&one); err != nil {
				break
			}
			if len(one) == 0 {
				continue
			}
			var object map[string]any
			if err := json.Unmarshal(one, &object); err != nil || len(object) == 0 {
				continue
			}
			if items, ok := object["items"].([]any); ok && strings.HasSuffix(ruling.Text(object, "kind"), "List") {
				for _, item := range items {
					all = append(all, item.(map[string]any))
				}
				continue
			}
			all = append(all, object)
		}
	}
	return all
}

// rawJSON keeps a document as it is.
type rawJSON []byte

// UnmarshalJSON implements json.Unmarshaler.
func (r *rawJSON) UnmarshalJSON(raw []byte) error { *r = slices.Clone(raw); return nil }

var clusterKinds = []string{"Namespace", "Node", "ClusterRole", "ClusterRoleBinding", "PersistentVolume", "StorageClass", "CustomResourceDefinition", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ClusterPolicy", "PriorityClass", "ProjectRequest", "Project", "ClusterIssuer", "CSIDriver", "GatewayClass", "IngressClass", "NodePool", "Provisioner", "VolumeSnapshotClass", "ClusterSecretStore"}

// requests makes a request of each object, as the command line does.
func (s suite) requests(t testing.TB, v values) []ruling.Request {
	t.Helper()
	labels := map[string]map[string]string{}
	objects := s.documents(t, s.Resources...)
	for _, one := range v.NamespaceSelector {
		labels[one.Name] = one.Labels
	}
	var all []ruling.Request
	for _, object := range objects {
		metadata, _ := object["metadata"].(map[string]any)
		if metadata == nil {
			continue
		}
		if metadata["namespace"] == nil && !slices.Contains(clusterKinds, ruling.Text(object, "kind")) {
			metadata["namespace"] = "default"
		}
		request := ruling.Request{Operation: "CREATE", Object: object}
		request.NamespaceLabels = labels[ruling.Text(object, "metadata", "namespace")]
		for _, one := range v.Namespaces {
			if ruling.Name(one) == ruling.Text(object, "metadata", "namespace") {
				request.Namespace = one
			}
		}
		all = append(all, request)
	}
	return all
}

// answer is what the engine makes of a row for an object.
type answer struct {
	results []ruling.Result
	patched map[string]any
}

// judge evaluates one policy for one request.
type judge func(request ruling.Request) answer

// kyvernoJudge evaluates a ClusterPolicy.
func kyvernoJudge(t testing.TB, engine *kyverno.Engine, object map[string]any, v values) judge {
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := rule.Decode(raw)
	if err != nil {
		t.Logf("%v", err)
		return func(ruling.Request) answer { return answer{} }
	}
	p := kyverno.NewPolicy(decoded)
	return func(request ruling.Request) answer {
		own := map[string]any{}
		for _, one := range v.Policies {
			if one.Name != decoded.Name {
				continue
			}
			for _, r := range one.Resources {
				if r.Name == ruling.Name(request.Subject()) {
					for name, value := range r.Values {
						own[name] = value
					}
				}
			}
		}
		if operation, ok := own["request.operation"].(string); ok {
			request.Operation = operation
			if operation == "UPDATE" {
				request.Old = request.Object
			}
		}
		world := kyverno.World{Values: func(policy, name string) map[string]any {
			all := map[string]any{}
			for key, value := range own {
				all[key] = value
			}
			for _, one := range v.Policies {
				for _, r := range one.Rules {
					if one.Name == policy && r.Name == name {
						for key, value := range r.Values {
							all[key] = value
						}
					}
				}
			}
			return all
		}}
		patched, results := engine.Mutate(context.Background(), p, world, request)
		checked := engine.Validate(context.Background(), p, world, request.With(patched))
		return answer{results: append(results, checked...), patched: patched}
	}
}

// cluster holds the objects that a test says there are.
type cluster []map[string]any

// List implements celpolicy.Reader.
func (c cluster) List(apiVersion, resource, namespace string, _ map[string]string) ([]map[string]any, error) {
	var found []map[string]any
	for _, one := range c {
		plural := strings.ToLower(ruling.Text(one, "kind")) + "s"
		if ruling.Text(one, "apiVersion") == apiVersion && plural == resource && (namespace == "" || namespace == ruling.Text(one, "metadata", "namespace")) {
			found = append(found, one)
		}
	}
	return found, nil
}

// Read implements celpolicy.Reader.
func (c cluster) Read(apiVersion, resource, namespace, name string) (map[string]any, error) {
	all, _ := c.List(apiVersion, resource, namespace, nil)
	for _, one := range all {
		if ruling.Name(one) == name {
			return one, nil
		}
	}
	return nil, fmt.Errorf("%s %s/%s is not there", resource, namespace, name)
}

// around reads what a test says there is.
func (s suite) around(t testing.TB) cluster {
	if s.Context == "" {
		return nil
	}
	var found cluster
	for _, document := range s.documents(t, s.Context) {
		spec, _ := document["spec"].(map[string]any)
		resources, _ := spec["resources"].([]any)
		for _, one := range resources {
			found = append(found, one.(map[string]any))
		}
	}
	return found
}

// celJudge evaluates a policy that is written in CEL.
func celJudge(t testing.TB, object map[string]any, around cluster) judge {
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	p, err := celpolicy.Decode(raw)
	if err != nil {
		t.Logf("%v", err)
		return func(ruling.Request) answer { return answer{} }
	}
	if p.NotEvaluated != "" {
		t.Logf("%s: %s", p.Name, p.NotEvaluated)
	}
	return func(request ruling.Request) answer {
		patched, result, about := p.Evaluate(context.Background(), around, nil, request)
		if !about {
			return answer{patched: patched}
		}
		return answer{results: []ruling.Result{result}, patched: patched}
	}
}

// score counts agreement by kind of rule.
type score struct{ agree, differ, absent int }

func TestCorpus(t *testing.T) {
	engine, err := kyverno.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	scores := map[string]*score{}
	for _, s := range suites(t) {
		name, _ := filepath.Rel(corpus(t), filepath.Dir(s.dir))
		if slices.Contains(beyond(), name) {
			continue
		}
		var v values
		if s.Variables != "" {
			raw, err := os.ReadFile(filepath.Join(s.dir, s.Variables))
			if err != nil {
				t.Fatal(err)
			}
			if err := sigs.Unmarshal(raw, &v); err != nil {
				t.Fatal(err)
			}
		}
		requests := s.requests(t, v)
		for _, object := range s.documents(t, s.Policies...) {
			var j judge
			switch ruling.Text(object, "kind") {
			case "ClusterPolicy", "Policy":
				j = kyvernoJudge(t, engine, object, v)
			case "ValidatingPolicy", "MutatingPolicy", "NamespacedValidatingPolicy", "NamespacedMutatingPolicy":
				j = celJudge(t, object, s.around(t))
			default:
				continue
			}
			for _, r := range s.Results {
				policyName := r.Policy[strings.LastIndex(r.Policy, "/")+1:]
				if policyName != ruling.Name(object) {
					continue
				}
				class := classOf(object, r.Rule)
				if scores[class] == nil {
					scores[class] = &score{}
				}
				for _, resource := range r.Resources {
					s.compare(t, scores[class], name, r, resource, requests, j)
				}
			}
		}
	}
	for class, floor := range floors() {
		one := scores[class]
		if one == nil {
			one = &score{}
		}
		t.Logf("%-40s %4d agree %4d differ %4d absent", class, one.agree, one.differ, one.absent)
		if one.agree < floor || one.differ+one.absent > 0 {
			t.Errorf("%s: %d agree, and %d did before", class, one.agree, floor)
		}
	}
}

// floors are the verdicts that agreed so far; they only rise. docs/reference/policies.md shows them.
func floors() map[string]int {
	return map[string]int{
		"ClusterPolicy validate pattern": 419, "ClusterPolicy validate anyPattern": 51, "ClusterPolicy validate deny": 124,
		"ClusterPolicy validate foreach": 157, "ClusterPolicy validate cel": 731, "ClusterPolicy validate podSecurity": 8,
		"ClusterPolicy mutate patchStrategicMerge": 21, "ClusterPolicy mutate patchesJson6902": 4, "ClusterPolicy mutate foreach": 6,
		"ValidatingPolicy": 515, "MutatingPolicy": 44,
	}
}

// beyond are the suites that need a registry, which policies do not reach here.
func beyond() []string {
	return []string{"other-vpol/allowed-base-images", "other-vpol/block-images-with-volumes"}
}

func (s suite) compare(t *testing.T, score *score, suiteName string, r row, resource string, requests []ruling.Request, j judge) {
	namespace, name := "", resource
	if before, after, found := strings.Cut(resource, "/"); found {
		namespace, name = before, after
	}
	for _, request := range requests {
		object := request.Subject()
		kind := r.Kind[strings.LastIndex(r.Kind, "/")+1:]
		if ruling.Text(object, "kind") != kind || ruling.Name(object) != name || namespace != "" && ruling.Text(object, "metadata", "namespace") != namespace {
			continue
		}
		found := j(request)
		var matching []ruling.Result
		for _, result := range found.results {
			if r.Rule == "" || result.Rule == "" || slices.Contains([]string{r.Rule, cut("autogen-" + r.Rule), cut("autogen-cronjob-" + r.Rule)}, result.Rule) {
				matching = append(matching, result)
			}
		}
		trouble := ""
		if r.Result == "fail" && r.Patched != "" {
			r.Result = "pass" // the row says that the comparison fails, which is no word of the engine's
			if s.patched(t, r, found.patched) != "" {
				score.agree++
				return
			}
		}
		for _, result := range matching {
			if string(result.Status) != r.Result {
				trouble = fmt.Sprintf("want %s, got %s: %s", r.Result, result.Status, result.Message)
			}
		}
		if trouble == "" && r.Patched != "" && len(matching) > 0 {
			trouble = s.patched(t, r, found.patched)
		}
		switch {
		case trouble != "":
			score.differ++
			t.Logf("%s %s/%s %s: %s", suiteName, r.Policy, r.Rule, resource, trouble)
		case len(matching) == 0 && r.Result == "fail":
			score.absent++
			t.Logf("%s %s/%s %s: no result, want %s", suiteName, r.Policy, r.Rule, resource, r.Result)
		default:
			score.agree++
		}
		return
	}
}

func cut(name string) string { return name[:min(63, len(name))] }

// patched compares what a mutation made with what is expected.
func (s suite) patched(t *testing.T, r row, got map[string]any) string {
	for _, want := range s.documents(t, r.Patched) {
		if ruling.Text(want, "kind") != ruling.Text(got, "kind") || ruling.Name(want) != ruling.Name(got) {
			continue
		}
		if ns := ruling.Text(want, "metadata", "namespace"); ns != "" && ns != ruling.Text(got, "metadata", "namespace") {
			continue
		}
		a, b := ruling.Copy(want).(map[string]any), ruling.Copy(got).(map[string]any)
		for _, one := range []map[string]any{a, b} {
			delete(one, "status")
			tidy(one)
			if metadata, ok := one["metadata"].(map[string]any); ok {
				delete(metadata, "namespace")
				delete(metadata, "creationTimestamp")
			}
		}
		return cmp.Diff(a, b)
	}
	return ""
}

// tidy takes out what is empty, as the command line does before it compares.
func tidy(value any) bool {
	switch typed := value.(type) {
	case map[string]any:
		for key, field := range typed {
			if tidy(field) {
				delete(typed, key)
			}
		}
		return len(typed) == 0
	case []any:
		for _, item := range typed {
			tidy(item)
		}
		return len(typed) == 0
	default:
		return value == nil
	}
}

// classOf names what kind of rule a row is about.
func classOf(object map[string]any, name string) string {
	kind := ruling.Text(object, "kind")
	spec, _ := object["spec"].(map[string]any)
	rules, _ := spec["rules"].([]any)
	for _, item := range rules {
		one, _ := item.(map[string]any)
		if n, _ := one["name"].(string); n != name && name != "" && "autogen-"+n != name && "autogen-cronjob-"+n != name {
			continue
		}
		for _, part := range []string{"validate", "mutate", "generate", "verifyImages"} {
			fields, ok := one[part].(map[string]any)
			if !ok {
				continue
			}
			for _, form := range []string{"foreach", "podSecurity", "cel", "deny", "anyPattern", "pattern", "patchStrategicMerge", "patchesJson6902"} {
				if fields[form] != nil {
					return kind + " " + part + " " + form
				}
			}
			return kind + " " + part
		}
	}
	return kind
}
