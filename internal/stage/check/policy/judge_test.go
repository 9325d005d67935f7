package policy_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigs "sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/check/policy"
)

// kinds answers as a cluster with the usual kinds.
type kinds struct{}

// Map implements check.Kinds.
func (kinds) Map(_ context.Context, ref object.Ref) (kube.Mapping, error) {
	mapping := kube.Mapping{Namespaced: !slices.Contains([]string{"Namespace", "ClusterPolicy", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "ValidatingPolicy", "MutatingPolicy"}, ref.Kind)}
	mapping.Resource = ref.GVK().GroupVersion().WithResource(strings.ToLower(ref.Kind) + "s")
	return mapping, nil
}

func objects(t testing.TB, manifests ...string) []object.Object {
	t.Helper()
	var list []object.Object
	for _, manifest := range manifests {
		for _, text := range strings.Split(manifest, "\n---\n") {
			u := &unstructured.Unstructured{}
			if err := sigs.Unmarshal([]byte(text), &u.Object); err != nil {
				t.Fatal(err)
			}
			one, err := object.New(u, "")
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, one)
		}
	}
	return list
}

const (
	labelled = `{apiVersion: v1, kind: ConfigMap, metadata: {name: good, namespace: web, labels: {team: shop}}}`
	bare     = `{apiVersion: v1, kind: ConfigMap, metadata: {name: bad, namespace: web}}`
	secret   = `{apiVersion: v1, kind: Secret, metadata: {name: hidden, namespace: web}, stringData: {password: hunter2}}`
	requires = `
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: labels}
spec:
  validationFailureAction: ACTION
  rules:
    - name: team
      match: {any: [{resources: {kinds: [ConfigMap, Secret]}}]}
      validate: {message: "team is missing, data is {{ request.object.stringData.password || 'none' }}", pattern: {metadata: {labels: {team: "?*"}}}}`
	exception = `
apiVersion: kyverno.io/v2
kind: PolicyException
metadata: {name: old-maps, namespace: NAMESPACE, annotations: {policies.holdfast.dev/owner: ada, policies.holdfast.dev/expires: "EXPIRES"}}
spec:
  exceptions: [{policyName: labels, ruleNames: [team]}]
  match: {any: [{resources: {kinds: [ConfigMap], names: [bad]}}]}`
	native = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: labels}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]}
  validations: [{expression: "has(object.metadata.labels) && 'team' in object.metadata.labels", message: team is missing}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: everywhere}
spec: {policyName: labels, validationActions: [Deny]}`
	adds = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: adds}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]}
  reinvocationPolicy: Never
  mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{metadata: Object.metadata{labels: {'team': 'added'}}}"}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: adds}
spec: {policyName: adds}`
	written = `
apiVersion: policies.kyverno.io/v1
kind: ValidatingPolicy
metadata: {name: labels}
spec:
  validationActions: [ACTION]
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]}
  validations: [{expression: "'team' in object.metadata.?labels.orValue({})", message: team is missing}]`
	generates = `
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: generates}
spec:
  rules:
    - name: quota
      match: {any: [{resources: {kinds: [Namespace]}}]}
      generate: {apiVersion: v1, kind: ResourceQuota, name: default, namespace: x, data: {}}`
	selects = `
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: selects}
spec:
  validationFailureAction: Enforce
  rules:
    - name: prod
      match: {any: [{resources: {kinds: [ConfigMap], namespaceSelector: {matchLabels: {env: prod}}}}]}
      validate: {message: not in prod, deny: {}}`
	calls = `
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: calls}
spec:
  validationFailureAction: Enforce
  rules:
    - name: service
      match: {any: [{resources: {kinds: [ConfigMap]}}]}
      context: [{name: answer, apiCall: {service: {url: "http://169.254.169.254/"}}}]
      validate: {message: x, deny: {conditions: {any: [{key: "{{ answer }}", operator: Equals, value: x}]}}}`
	grows = `
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: grows}
spec:
  validationFailureAction: Enforce
  rules:
    - name: grows
      match: {any: [{resources: {kinds: [ConfigMap]}}]}
      validate: {message: x, deny: {conditions: {any: [{key: "{{ [@,@,@,@]|[@,@,@,@]|[@,@,@,@]|[@,@,@,@]|[@,@,@,@]|[@,@,@,@]|[@,@,@,@]|[@,@,@,@]|[@,@,@,@]|[@,@,@,@]|[@,@,@,@]|[@,@,@,@]|to_string(@) }}", operator: Equals, value: x}]}}}`
	reads = `
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: reads}
spec:
  validationFailureAction: Enforce
  rules:
    - name: reads
      match: {any: [{resources: {kinds: [ConfigMap], names: [bad]}}]}
      context: [{name: teams, configMap: {name: good, namespace: web}}]
      validate: {message: "the team is {{ teams.metadata.labels.team }}", deny: {conditions: {any: [{key: "{{ teams.metadata.labels.team }}", operator: Equals, value: shop}]}}}`
	namespaceProd = `{apiVersion: v1, kind: Namespace, metadata: {name: web, labels: {env: prod}}}`
)

func TestJudge(t *testing.T) {
	with := func(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }
	enforce, audit := with(requires, "ACTION", "Enforce"), with(requires, "ACTION", "Audit")
	const cut = " …"
	cases := map[string]struct {
		why  string
		in   []string
		want []string // findings, of which those that end in an ellipsis are compared up to there
	}{
		"None":      {why: "without policies there is nothing to say", in: []string{bare}},
		"Enforce":   {why: "what is enforced refuses, and says which field", in: []string{enforce, labelled, bare}, want: []string{"ConfigMap/web/bad metadata.labels: validation error: team is missing, data is none. rule team failed at path /metadata/labels/ [policy/labels/team]; change the object, or have an exception granted"}},
		"Audit":     {why: "what is audited warns", in: []string{audit, bare}, want: []string{"warning: ConfigMap/web/bad metadata.labels: validation error: team is missing" + cut}},
		"Secret":    {why: "the words of a policy may quote a secret", in: []string{enforce, secret}, want: []string{"Secret/web/hidden metadata.labels: the policy does not allow it [policy/labels/team]" + cut}},
		"Waived":    {why: "an exception shows, with its owner and its end", in: []string{enforce, bare, with(exception, "NAMESPACE", "flux-system", "EXPIRES", "2031-01-31")}, want: []string{"info: ConfigMap/web/bad the policy is waived by flux-system/old-maps, which ada answers for, until 2031-01-31 [policy/labels/team]"}},
		"Expired":   {why: "an exception that is over is none", in: []string{enforce, bare, with(exception, "NAMESPACE", "flux-system", "EXPIRES", "2020-01-31")}, want: []string{"ConfigMap/web/bad metadata.labels:" + cut, "warning: PolicyException/flux-system/old-maps the exception expired on 2020-01-31" + cut}},
		"Anybody's": {why: "whoever writes to a namespace must not waive policies for himself", in: []string{enforce, bare, with(exception, "NAMESPACE", "web", "EXPIRES", "2031-01-31")}, want: []string{"ConfigMap/web/bad metadata.labels:" + cut, "warning: PolicyException/web/old-maps the exception is not honoured" + cut}},
		"Native":    {why: "a policy and its binding take effect for the commit that brings them, in the server's words", in: []string{native, labelled, bare}, want: []string{`ConfigMap/web/bad configmaps "bad" is forbidden: ValidatingAdmissionPolicy 'labels' with binding 'everywhere' denied request: team is missing [policy/labels/everywhere]` + cut}},
		"Mutated":   {why: "what is judged is what would be admitted", in: []string{native, adds, bare}},
		"Written":   {why: "Kyverno's kinds in CEL", in: []string{with(written, "ACTION", "Deny"), labelled, bare}, want: []string{"ConfigMap/web/bad team is missing [policy/labels]" + cut}},
		"Generates": {why: "what is not acted on is said", in: []string{generates, labelled}, want: []string{"warning: ClusterPolicy/generates rule quota: generate rules are not acted on [policy/not-evaluated]"}},
		"Selects":   {why: "the commit's own namespace tells its labels", in: []string{selects, namespaceProd, labelled}, want: []string{"ConfigMap/web/good not in prod [policy/selects/prod]" + cut}},
		"Elsewhere": {why: "a namespace that nobody brings has no labels", in: []string{selects, labelled}},
		"Calls":     {why: "policies have no network, and what cannot be evaluated fails", in: []string{calls, labelled}, want: []string{"ConfigMap/web/good the policy cannot be evaluated:" + cut}},
		"Grows":     {why: "a value that would fill the memory fails", in: []string{grows, labelled}, want: []string{"ConfigMap/web/good the policy cannot be evaluated:" + cut}},
		"Reads":     {why: "a ConfigMap of the same commit", in: []string{reads, labelled, bare}, want: []string{"ConfigMap/web/bad the team is shop [policy/reads/reads]" + cut}},
		"Broken":    {why: "a policy that cannot be read is the finding", in: []string{`{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: x}, spec: {rules: 7}}`, bare}, want: []string{"ClusterPolicy/x reading the policy:" + cut}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			engine, err := policy.New(policy.Options{Now: func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }})
			if err != nil {
				t.Fatal(err)
			}
			findings, err := check.Findings(context.Background(), check.Set{Objects: objects(t, tc.in...), Kinds: kinds{}}, engine)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, one := range findings {
				text := one.String()
				if i < len(tc.want) {
					if start, found := strings.CutSuffix(tc.want[i], cut); found && strings.HasPrefix(text, start) {
						text = tc.want[i]
					}
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.why, diff)
			}
		})
	}
}

// following is a cluster whose policies are known.
type following struct {
	policies []object.Object
	version  string
	err      error
	labels   map[string]any
}

// Policies, Namespace, Mutates and Of implement policy.Live.
func (f *following) Policies(context.Context) ([]object.Object, string, error) {
	return f.policies, f.version, f.err
}

func (f *following) Namespace(name string) (map[string]any, bool) {
	return map[string]any{"metadata": map[string]any{"name": name, "labels": f.labels}}, true
}
func (f *following) Mutates() bool         { return false }
func (f *following) Of(*kube.Cluster) bool { return true }

func TestJudgeByLivePolicies(t *testing.T) {
	live := &following{version: "1", policies: objects(t, selects), labels: map[string]any{"env": "prod"}}
	engine, err := policy.New(policy.Options{Live: live})
	if err != nil {
		t.Fatal(err)
	}
	judge := func() ([]finding.Finding, error) {
		return check.Findings(context.Background(), check.Set{Objects: objects(t, labelled), Kinds: kinds{}, Cluster: &kube.Cluster{}}, engine)
	}
	if found, err := judge(); err != nil || len(found) != 1 {
		t.Fatalf("a policy that lives in the cluster and selects a live namespace: %v %v", found, err)
	}
	before := engine.Version(object.Owner{})
	live.version, live.policies = "2", nil
	if engine.Version(object.Owner{}) == before {
		t.Error("the version of the verdict is that of the policies")
	}
	if found, err := judge(); err != nil || len(found) > 0 {
		t.Fatalf("it is gone: %v %v", found, err)
	}
	live.err = errors.New("no connection")
	if _, err := judge(); err == nil {
		t.Error("policies that are not known are no pass")
	}
}

// BenchmarkJudge judges Deployments by five policies of Kyverno and five of Kubernetes.
func BenchmarkJudge(b *testing.B) {
	deployment := `{apiVersion: apps/v1, kind: Deployment, metadata: {name: NAME, namespace: web, labels: {team: shop}}, spec: {replicas: 1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: "r/a:1", resources: {requests: {cpu: 1m}}}]}}}}`
	pods := `
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: NAME}
spec:
  validationFailureAction: Enforce
  rules:
    - name: requests
      match: {any: [{resources: {kinds: [Pod]}}]}
      validate: {message: m, pattern: {spec: {containers: [{name: "*", resources: {requests: {cpu: "?*"}}}]}}}`
	expression := `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}]}
  validations: [{expression: "object.spec.template.spec.containers.all(c, !c.image.endsWith(':latest'))", message: m}]
---
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: NAME}, spec: {policyName: NAME, validationActions: [Deny]}}`
	var manifests []string
	for i := range 5 {
		name := string(rune('a' + i))
		manifests = append(manifests, strings.ReplaceAll(pods, "NAME", name), strings.ReplaceAll(expression, "NAME", name))
	}
	const count = 100
	for i := range count {
		manifests = append(manifests, strings.ReplaceAll(deployment, "NAME", "d"+strings.Repeat("x", i)))
	}
	engine, err := policy.New(policy.Options{})
	if err != nil {
		b.Fatal(err)
	}
	set := check.Set{Objects: objects(b, manifests...), Kinds: kinds{}}
	for b.Loop() {
		findings, err := check.Findings(context.Background(), set, engine)
		if err != nil || len(findings) > 0 {
			b.Fatal(findings, err)
		}
	}
	b.ReportMetric(float64(count*b.N)/b.Elapsed().Seconds(), "objects/s")
}
