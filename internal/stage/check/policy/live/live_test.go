package live_test

import (
	"context"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	sigs "sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/check/policy"
	"holdfast.dev/holdfast/internal/stage/check/policy/live"
)

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := sigs.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

const (
	// The policy looks at labels, a parameter, the namespace, the request, and words its refusal itself.
	nativePolicy = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: team-required}
spec:
  paramKind: {apiVersion: v1, kind: ConfigMap}
  matchConstraints:
    resourceRules: [{apiGroups: ["apps"], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}]
  variables: [{name: limit, expression: "int(params.data.replicas)"}]
  validations:
    - expression: "object.spec.replicas <= variables.limit"
      messageExpression: "'at most ' + string(variables.limit) + ' replicas in ' + namespaceObject.metadata.name"
      reason: Forbidden
    - expression: "request.operation == 'CREATE' && object.spec.template.spec.containers.all(c, c.image.contains('@') || !c.image.endsWith(':latest'))"
      message: no latest tags`
	nativeBinding = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: team-required-here}
spec:
  policyName: team-required
  paramRef: {name: limits, namespace: NAMESPACE, parameterNotFoundAction: Deny}
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}}
  validationActions: [Deny]`
	limits     = `{apiVersion: v1, kind: ConfigMap, metadata: {name: limits, namespace: NAMESPACE}, data: {replicas: "3"}}`
	deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NAMESPACE}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: "IMAGE"}]}}`
)

// TestVerdictIsTheServers judges by a policy that lives in a cluster and asks the cluster itself: verdict
// and words have to be the same.
func TestVerdictIsTheServers(t *testing.T) {
	cluster, err := kube.Connect("", clustertest.Start(t), kube.Options{})
	if err != nil {
		t.Fatal(err)
	}
	namespace := clustertest.Namespace(t)
	here := strings.NewReplacer("NAMESPACE", namespace)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	known := live.New(cluster, logr.Discard())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = known.Start(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	if found, _, err := known.Policies(ctx); err != nil || len(found) > 0 {
		t.Fatalf("before there is a policy: %v %v", found, err)
	}
	create := func(resource schema.GroupVersionResource, where, text string) {
		t.Helper()
		client := cluster.Dynamic().Resource(resource)
		u := parse(t, here.Replace(text))
		if where != "" {
			_, err = client.Namespace(where).Create(ctx, u, meta.CreateOptions{})
		} else {
			_, err = client.Create(ctx, u, meta.CreateOptions{})
			t.Cleanup(func() { _ = client.Delete(context.Background(), u.GetName(), meta.DeleteOptions{}) })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	registration := schema.GroupVersion{Group: "admissionregistration.k8s.io", Version: "v1"}
	create(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, namespace, limits)
	create(registration.WithResource("validatingadmissionpolicies"), "", nativePolicy)
	create(registration.WithResource("validatingadmissionpolicybindings"), "", nativeBinding)
	eventually.True(t, "the policy and its binding are known", func() bool {
		found, _, err := known.Policies(ctx)
		return err == nil && len(found) == 2
	})
	engine, err := policy.New(policy.Options{Live: known})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(u *unstructured.Unstructured) string {
		deployments := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
		_, err := cluster.Dynamic().Resource(deployments).Namespace(namespace).Create(ctx, u, meta.CreateOptions{DryRun: []string{meta.DryRunAll}})
		if err == nil {
			return ""
		}
		return err.Error()
	}
	with := func(replicas, image string) *unstructured.Unstructured {
		return parse(t, strings.NewReplacer("REPLICAS", replicas, "IMAGE", image).Replace(here.Replace(deployment)))
	}
	eventually.True(t, "the server has taken the policy in", func() bool { return ask(with("9", "a:1")) != "" })
	cases := map[string]struct{ replicas, image string }{
		"Fine": {"3", "a:1"}, "TooMany": {"4", "a:1"}, "Latest": {"1", "a:latest"}, "Both": {"9", "a:latest"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			u := with(tc.replicas, tc.image)
			want := ask(u)
			one, err := object.New(u, "")
			if err != nil {
				t.Fatal(err)
			}
			found, err := check.Findings(ctx, check.Set{Objects: []object.Object{one}, Kinds: cluster, Cluster: cluster}, engine)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if len(found) > 0 {
				got = found[0].Message
				if found[0].Severity != finding.Error {
					t.Errorf("a denial is %s", found[0].Severity)
				}
			}
			if got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

// TestKindsComeAndGo sees that a kind of policies that is installed later is watched, and forgotten when it
// goes.
func TestKindsComeAndGo(t *testing.T) {
	cluster, err := kube.Connect("", clustertest.Start(t), kube.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	known := live.New(cluster, logr.Discard())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = known.Start(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	definitions := cluster.Dynamic().Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	definition := parse(t, `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: clusterpolicies.kyverno.io}
spec:
  group: kyverno.io
  scope: Cluster
  names: {kind: ClusterPolicy, plural: clusterpolicies}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]`)
	if _, err := definitions.Create(ctx, definition, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	policies := cluster.Dynamic().Resource(schema.GroupVersionResource{Group: "kyverno.io", Version: "v1", Resource: "clusterpolicies"})
	one := parse(t, `{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: one}, spec: {rules: []}}`)
	eventually.True(t, "the kind is served", func() bool {
		_, err := policies.Create(ctx, one, meta.CreateOptions{})
		return err == nil
	})
	count := func() int {
		found, _, err := known.Policies(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	eventually.True(t, "the policy is known", func() bool { return count() == 1 })
	if err := definitions.Delete(ctx, definition.GetName(), meta.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the policy is gone with its kind", func() bool { return count() == 0 })
}
