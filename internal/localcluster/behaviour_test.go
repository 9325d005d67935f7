package localcluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/localcluster"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
)

// bench is one test's place in the shared cluster.
type bench struct {
	*testing.T
	ctx       context.Context
	config    *rest.Config
	client    kubernetes.Interface
	namespace string
}

func newBench(t *testing.T) bench {
	t.Helper()
	config := clustertest.Start(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return bench{T: t, ctx: ctx, config: config, client: clientOf(t, config), namespace: clustertest.Namespace(t)}
}

// until polls holds until it returns nothing, and fails with what it returned last at the deadline.
func (b bench) until(what string, holds func() string) {
	b.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		missing := holds()
		if missing == "" {
			return
		}
		select {
		case <-deadline:
			b.Fatalf("%s: %s", what, missing)
		case <-tick.C:
		}
	}
}

func (b bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func podTemplate(labels map[string]string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "example.org/app:1",
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m")}},
		}}},
	}
}

func TestVersion(t *testing.T) {
	b := newBench(t)
	got, err := b.client.Discovery().ServerVersion()
	b.must(err)
	if got.GitVersion != localcluster.KubernetesVersion() || got.Major != "1" || got.Minor == "" {
		t.Errorf("version %+v; want %s", got, localcluster.KubernetesVersion())
	}
}

func TestNodes(t *testing.T) {
	b := newBench(t)
	nodes, err := b.client.CoreV1().Nodes().List(b.ctx, metav1.ListOptions{})
	b.must(err)
	if len(nodes.Items) != 3 {
		t.Errorf("%d nodes; want 3", len(nodes.Items))
	}
	for _, node := range nodes.Items {
		if node.Status.NodeInfo.KubeletVersion != localcluster.KubernetesVersion() || len(node.Spec.Taints) > 0 {
			t.Errorf("node %s: kubelet %s, taints %v", node.Name, node.Status.NodeInfo.KubeletVersion, node.Spec.Taints)
		}
	}
}

func TestWorkloadsBecomeReady(t *testing.T) {
	b := newBench(t)
	labels := map[string]string{"app": "x"}
	meta, selector, two := metav1.ObjectMeta{Name: "x"}, &metav1.LabelSelector{MatchLabels: labels}, int32(2)
	apps := b.client.AppsV1()
	_, err := apps.Deployments(b.namespace).Create(b.ctx, &appsv1.Deployment{
		ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &two, Selector: selector, Template: podTemplate(labels)},
	}, metav1.CreateOptions{})
	b.must(err)
	_, err = apps.DaemonSets(b.namespace).Create(b.ctx, &appsv1.DaemonSet{
		ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: podTemplate(labels)},
	}, metav1.CreateOptions{})
	b.must(err)
	once := podTemplate(labels)
	once.Spec.RestartPolicy = corev1.RestartPolicyNever
	_, err = b.client.BatchV1().Jobs(b.namespace).Create(b.ctx, &batchv1.Job{
		ObjectMeta: meta, Spec: batchv1.JobSpec{Template: once},
	}, metav1.CreateOptions{})
	b.must(err)
	_, err = b.client.CoreV1().Services(b.namespace).Create(b.ctx, &corev1.Service{
		ObjectMeta: meta, Spec: corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	b.must(err)

	b.until("the Deployment becomes available", func() string {
		got, err := apps.Deployments(b.namespace).Get(b.ctx, "x", metav1.GetOptions{})
		b.must(err)
		return missing(got.Status.AvailableReplicas == 2, "%d replicas", got.Status.AvailableReplicas)
	})
	b.until("the DaemonSet runs on each node", func() string {
		got, err := apps.DaemonSets(b.namespace).Get(b.ctx, "x", metav1.GetOptions{})
		b.must(err)
		return missing(got.Status.NumberReady == 3, "%d ready", got.Status.NumberReady)
	})
	b.until("the Job completes", func() string {
		got, err := b.client.BatchV1().Jobs(b.namespace).Get(b.ctx, "x", metav1.GetOptions{})
		b.must(err)
		return missing(got.Status.Succeeded == 1, "%+v", got.Status)
	})
	b.until("the Service has an address and endpoints", func() string {
		service, err := b.client.CoreV1().Services(b.namespace).Get(b.ctx, "x", metav1.GetOptions{})
		b.must(err)
		slices, err := b.client.DiscoveryV1().EndpointSlices(b.namespace).List(b.ctx, metav1.ListOptions{})
		b.must(err)
		return missing(service.Spec.ClusterIP != "" && len(slices.Items) > 0 && len(slices.Items[0].Endpoints) >= 5,
			"address %q, %d slices", service.Spec.ClusterIP, len(slices.Items))
	})
}

func TestStatefulSetsGetVolumes(t *testing.T) {
	b := newBench(t)
	labels, two := map[string]string{"app": "db"}, int32(2)
	_, err := b.client.AppsV1().StatefulSets(b.namespace).Create(b.ctx, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &two, ServiceName: "db", Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: podTemplate(labels),
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
				ObjectMeta: metav1.ObjectMeta{Name: "data"},
				Spec: corev1.PersistentVolumeClaimSpec{
					AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
					Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
				},
			}},
		},
	}, metav1.CreateOptions{})
	b.must(err)
	b.until("the StatefulSet becomes ready", func() string {
		got, err := b.client.AppsV1().StatefulSets(b.namespace).Get(b.ctx, "db", metav1.GetOptions{})
		b.must(err)
		return missing(got.Status.ReadyReplicas == 2, "%d ready", got.Status.ReadyReplicas)
	})
	claims := b.client.CoreV1().PersistentVolumeClaims(b.namespace)
	claim, err := claims.Get(b.ctx, "data-db-0", metav1.GetOptions{})
	b.must(err)
	if claim.Status.Phase != corev1.ClaimBound || *claim.Spec.StorageClassName != localcluster.StorageClass {
		t.Errorf("claim is %s of class %s", claim.Status.Phase, *claim.Spec.StorageClassName)
	}
	b.must(b.client.AppsV1().StatefulSets(b.namespace).Delete(b.ctx, "db", metav1.DeleteOptions{}))
	b.must(claims.Delete(b.ctx, claim.Name, metav1.DeleteOptions{}))
	b.until("the volume goes with its claim", func() string {
		_, err := b.client.CoreV1().PersistentVolumes().Get(b.ctx, claim.Spec.VolumeName, metav1.GetOptions{})
		return missing(apierrors.IsNotFound(err), "%v", err)
	})
}

func TestQuotas(t *testing.T) {
	b := newBench(t)
	quotas := b.client.CoreV1().ResourceQuotas(b.namespace)
	_, err := quotas.Create(b.ctx, &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "one"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/secrets": resource.MustParse("1")}},
	}, metav1.CreateOptions{})
	b.must(err)
	b.until("the quota is counted", func() string {
		got, err := quotas.Get(b.ctx, "one", metav1.GetOptions{})
		b.must(err)
		return missing(len(got.Status.Hard) == 1, "%+v", got.Status)
	})
	secrets := b.client.CoreV1().Secrets(b.namespace)
	_, err = secrets.Create(b.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{})
	b.must(err)
	_, err = secrets.Create(b.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "exceeded quota") {
		t.Errorf("above the quota: %v", err)
	}
	b.must(secrets.Delete(b.ctx, "a", metav1.DeleteOptions{}))
	b.until("the quota is free again", func() string {
		_, err = secrets.Create(b.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, metav1.CreateOptions{})
		return missing(err == nil, "%v", err)
	})
}

func TestLimitRangesSetDefaults(t *testing.T) {
	b := newBench(t)
	_, err := b.client.CoreV1().LimitRanges(b.namespace).Create(b.ctx, &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Name: "limits"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypeContainer, Default: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
		}}},
	}, metav1.CreateOptions{})
	b.must(err)
	b.until("a Pod gets the limit", func() string { // admission reads limits from a cache
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "p-"}, Spec: podTemplate(nil).Spec}
		made, err := b.client.CoreV1().Pods(b.namespace).Create(b.ctx, pod, metav1.CreateOptions{})
		b.must(err)
		limit := made.Spec.Containers[0].Resources.Limits[corev1.ResourceMemory]
		return missing(limit.String() == "64Mi", "limit %s", limit.String())
	})
}

// A service account may do what its role says, with its own token and by impersonation, and no more.
func TestAccess(t *testing.T) {
	b := newBench(t)
	core, access := b.client.CoreV1(), b.client.RbacV1()
	_, err := core.ServiceAccounts(b.namespace).Create(b.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "reader"}}, metav1.CreateOptions{})
	b.must(err)
	_, err = access.Roles(b.namespace).Create(b.ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"list"}}},
	}, metav1.CreateOptions{})
	b.must(err)
	_, err = access.RoleBindings(b.namespace).Create(b.ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "reader", Namespace: b.namespace}},
	}, metav1.CreateOptions{})
	b.must(err)
	token, err := core.ServiceAccounts(b.namespace).CreateToken(b.ctx, "reader", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	b.must(err)
	withToken := rest.AnonymousClientConfig(b.config)
	withToken.BearerToken = token.Status.Token
	asUser := rest.CopyConfig(b.config)
	asUser.Impersonate.UserName = "system:serviceaccount:" + b.namespace + ":reader"
	for name, config := range map[string]*rest.Config{"token": withToken, "impersonation": asUser} {
		client := clientOf(t, config)
		b.until(name+" may read", func() string {
			_, err := client.CoreV1().ConfigMaps(b.namespace).List(b.ctx, metav1.ListOptions{})
			return missing(err == nil, "%v", err)
		})
		if _, err := client.CoreV1().Secrets(b.namespace).List(b.ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("%s reads secrets: %v; want it forbidden", name, err)
		}
	}
	_, err = clientOf(t, rest.AnonymousClientConfig(b.config)).CoreV1().Namespaces().List(b.ctx, metav1.ListOptions{})
	if !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err) {
		t.Errorf("without credentials: %v; want it refused", err)
	}
}

func TestGarbageCollection(t *testing.T) {
	b := newBench(t)
	maps := b.client.CoreV1().ConfigMaps(b.namespace)
	owner, err := maps.Create(b.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
	b.must(err)
	_, err = maps.Create(b.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name:            "owned",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID}},
	}}, metav1.CreateOptions{})
	b.must(err)
	b.must(maps.Delete(b.ctx, "owner", metav1.DeleteOptions{}))
	b.until("what it owned goes", func() string {
		_, err := maps.Get(b.ctx, "owned", metav1.GetOptions{})
		return missing(apierrors.IsNotFound(err), "%v", err)
	})
}

func TestNamespacesAreDeletedWithTheirContents(t *testing.T) {
	b := newBench(t)
	name := b.namespace + "-gone"
	namespaces := b.client.CoreV1().Namespaces()
	_, err := namespaces.Create(b.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	b.must(err)
	_, err = b.client.CoreV1().ConfigMaps(name).Create(b.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{})
	b.must(err)
	b.must(namespaces.Delete(b.ctx, name, metav1.DeleteOptions{}))
	b.until("the namespace goes", func() string {
		_, err := namespaces.Get(b.ctx, name, metav1.GetOptions{})
		return missing(apierrors.IsNotFound(err), "%v", err)
	})
}

func TestCustomResources(t *testing.T) {
	b := newBench(t)
	client, err := dynamic.NewForConfig(b.config)
	b.must(err)
	group := strings.ReplaceAll(b.namespace, "-", "") + ".example.org"
	definitions := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	_, err = definitions.Create(b.ctx, decode(b, fmt.Sprintf(`{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": {"name": "ships.%[1]s"},
		"spec": {"group": %[1]q, "scope": "Namespaced", "names": {"plural": "ships", "singular": "ship", "kind": "Ship"},
			"versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
				"spec": {"type": "object", "properties": {"masts": {"type": "integer"}},
					"x-kubernetes-validations": [{"rule": "self.masts > 0", "message": "a ship has masts"}]}}}}}]}}`, group)), metav1.CreateOptions{})
	b.must(err)
	t.Cleanup(func() { _ = definitions.Delete(context.Background(), "ships."+group, metav1.DeleteOptions{}) })
	ships := client.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: "ships"}).Namespace(b.namespace)
	ship := func(name string, masts int) *unstructured.Unstructured {
		return decode(b, fmt.Sprintf(`{"apiVersion": "%s/v1", "kind": "Ship", "metadata": {"name": %q}, "spec": {"masts": %d}}`, group, name, masts))
	}
	b.until("the kind is served", func() string {
		_, err := ships.Create(b.ctx, ship("good", 3), metav1.CreateOptions{})
		return missing(err == nil || apierrors.IsAlreadyExists(err), "%v", err)
	})
	if _, err := ships.Create(b.ctx, ship("bad", 0), metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "a ship has masts") {
		t.Errorf("against the schema's rule: %v", err)
	}
	_, resources, err := b.client.Discovery().ServerGroupsAndResources()
	b.must(err)
	served := false
	for _, list := range resources {
		served = served || list.GroupVersion == group+"/v1"
	}
	if !served {
		t.Error("discovery does not list the kind")
	}
}

func TestAdmissionPolicies(t *testing.T) {
	b := newBench(t)
	policies := b.client.AdmissionregistrationV1()
	fail := admissionv1.Fail
	_, err := policies.ValidatingAdmissionPolicies().Create(b.ctx, &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: b.namespace},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: &fail,
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
				},
			}}},
			Validations: []admissionv1.Validation{{Expression: "object.metadata.name != 'forbidden'", Message: "not this name"}},
		},
	}, metav1.CreateOptions{})
	b.must(err)
	_, err = policies.ValidatingAdmissionPolicyBindings().Create(b.ctx, &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: b.namespace},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: b.namespace, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
			MatchResources: &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{corev1.LabelMetadataName: b.namespace},
			}},
		},
	}, metav1.CreateOptions{})
	b.must(err)
	t.Cleanup(func() {
		_ = policies.ValidatingAdmissionPolicyBindings().Delete(context.Background(), b.namespace, metav1.DeleteOptions{})
		_ = policies.ValidatingAdmissionPolicies().Delete(context.Background(), b.namespace, metav1.DeleteOptions{})
	})
	maps := b.client.CoreV1().ConfigMaps(b.namespace)
	b.until("the policy denies", func() string {
		_, err := maps.Create(b.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "forbidden"}}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return missing(err != nil && strings.Contains(err.Error(), "not this name"), "%v", err)
	})
	_, err = maps.Create(b.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "allowed"}}, metav1.CreateOptions{})
	b.must(err)
}

func TestAggregatedDiscovery(t *testing.T) {
	b := newBench(t)
	body, err := b.client.Discovery().RESTClient().Get().AbsPath("/apis").
		SetHeader("Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList").DoRaw(b.ctx)
	b.must(err)
	var list struct {
		Kind  string            `json:"kind"`
		Items []json.RawMessage `json:"items"`
	}
	b.must(json.Unmarshal(body, &list))
	if list.Kind != "APIGroupDiscoveryList" || len(list.Items) < 10 {
		t.Errorf("got %s with %d groups", list.Kind, len(list.Items))
	}
}

func decode(b bench, text string) *unstructured.Unstructured {
	b.Helper()
	object := &unstructured.Unstructured{}
	b.must(object.UnmarshalJSON([]byte(text)))
	return object
}

// missing returns nothing when it holds, else what there is instead.
func missing(holds bool, format string, args ...any) string { //nolint:revive // holds is the answer to a question, not a way to go
	if holds {
		return ""
	}
	return "there is " + fmt.Sprintf(format, args...)
}
