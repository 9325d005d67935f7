package operator_test

import (
	"context"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/operator"
)

// account makes a service account that has a cluster role in the world's namespace.
func (w *world) account(name, role string) {
	w.t.Helper()
	w.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}})
	if role != "" {
		w.bindRole(name, role)
	}
}

func (w *world) bindRole(account, role string) {
	w.t.Helper()
	w.create(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: account},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: w.namespace, Name: account}},
	})
}

// TestImpersonation: a unit with an account has that account's rights, and ours in no request.
func TestImpersonation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("deployer", "")
	w.commit(map[string]string{"apps/a.yaml": configMap("settings", "color: blue"), "apps/b.yaml": configMap("other")})
	w.source()
	w.unit("apps", func(u *kustomizev1.Kustomization) { u.Spec.ServiceAccountName = "deployer" })
	user := "system:serviceaccount:" + w.namespace + ":deployer"
	u := w.failed("apps", "ReconciliationFailed", `User "`+user+`" cannot patch resource "configmaps"`)
	if lines := strings.Split(condition(u, meta.ReadyCondition).Message, "\n"); len(lines) != 2 || !strings.Contains(lines[0], "Forbidden") {
		t.Errorf("one line for each object, that says what it is: %q", lines)
	}
	w.bindRole("deployer", "edit")
	w.until("apps", "ready", isReady) // a refusal is tried again
	w.edit(w.configMap("settings"), set("color", "red"))
	await(w, w.configMap("settings"), "blue again", holds("color", "blue"))
	w.commit(map[string]string{"apps/b.yaml": ""})
	await(w, w.configMap("other"), "gone", gone)
	for _, one := range w.daemon.traffic.take(w.namespace) {
		if strings.HasPrefix(one.Path, "configmaps/") && one.User != user {
			t.Errorf("%s was sent as %q", one, one.User)
		}
	}
}

// TestHealthOfOthers: the watches behind health checks have our rights, and must not show a tenant
// what its own account may not read.
func TestHealthOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("deployer", "edit")
	w.commit(map[string]string{"apps/a.yaml": configMap("settings")})
	w.source()
	w.unit("apps", func(u *kustomizev1.Kustomization) {
		u.Spec.ServiceAccountName = "deployer"
		u.Spec.HealthChecks = []meta.NamespacedObjectKindReference{{APIVersion: "v1", Kind: "ConfigMap", Namespace: "kube-system", Name: "extension-apiserver-authentication"}}
	})
	w.failed("apps", "ReconciliationFailed", `cannot get resource "configmaps" in API group "" in the namespace "kube-system"`)
}

// TestDefaultAccount: where an operator locks tenants in, no unit acts with our rights.
func TestDefaultAccount(t *testing.T) {
	t.Parallel()
	w := newOwnWorld(t, func(c *operator.Config) {
		c.Kustomizations.DefaultServiceAccount = "tenant"
		c.Kustomizations.NoCrossNamespaceRefs = true
	})
	w.account("tenant", "")
	w.commit(map[string]string{"apps/a.yaml": configMap("settings", "color: blue")})
	w.source()
	w.unit("apps")
	w.failed("apps", "ReconciliationFailed", "system:serviceaccount:"+w.namespace+":tenant")
	w.unit("curious", func(u *kustomizev1.Kustomization) { u.Spec.SourceRef.Namespace = "kube-system" })
	u := w.failed("curious", "AccessDenied", "can't access 'GitRepository/kube-system/platform', cross-namespace references have been blocked")
	if condition(u, meta.StalledCondition).Status != metav1.ConditionTrue {
		t.Errorf("only a person can help: %s", describe(u))
	}
}

// TestKubeConfig: a unit may name a cluster; who it acts as there is in the kubeconfig.
func TestKubeConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("remote", "edit")
	w.watcher("remote")
	revision := w.commit(map[string]string{"apps/a.yaml": configMap("settings", "color: blue")})
	w.source()
	w.unit("apps", func(u *kustomizev1.Kustomization) {
		u.Spec.KubeConfig = &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: "cluster"}}
	})
	w.failed("apps", "ReconciliationFailed", "kubeconfig Secret '"+w.namespace+"/cluster' not found")
	w.secret("cluster", map[string]string{"value": w.kubeconfig("exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, interactiveMode: Never}")})
	w.failed("apps", "ReconciliationFailed", "exec plugins are not allowed")
	w.secret("cluster", map[string]string{"value": w.kubeconfig("token: " + w.token("remote"))})
	w.ready("apps", revision)
	if sent := w.sent("configmaps/settings"); len(sent) > 0 {
		t.Errorf("objects of a remote cluster were asked for under our own name: %v", texts(sent))
	}
	w.edit(w.configMap("settings"), set("color", "red"))
	await(w, w.configMap("settings"), "blue again", holds("color", "blue"))
	w.remove("apps")
	if read(w, w.configMap("settings")) != nil {
		t.Error("its object is left")
	}
}

// TestKubeConfigByAccount: a unit may name a cluster that trusts an account of ours, and has that account's
// rights there and no more.
func TestKubeConfigByAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("remote", "")
	config := clustertest.Start(t)
	settings := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "cluster"},
		Data:       map[string]string{"provider": "generic", "address": config.Host, "ca.crt": string(config.CAData)},
	}
	say := func(key, value string) {
		settings.Data[key] = value
		check(t, w.client.Update(context.Background(), settings))
	}
	revision := w.commit(map[string]string{"apps/a.yaml": configMap("settings", "color: blue"), "more/b.yaml": configMap("second")})
	w.source()
	byAccount := func(u *kustomizev1.Kustomization) {
		u.Spec.KubeConfig = &meta.KubeConfigReference{ConfigMapRef: &meta.LocalObjectReference{Name: "cluster"}}
	}
	w.unit("apps", byAccount)
	w.failed("apps", "ReconciliationFailed", "kubeconfig ConfigMap '"+w.namespace+"/cluster' not found")
	w.create(settings)
	w.failed("apps", "ReconciliationFailed", "key serviceAccountName is missing")
	say("serviceAccountName", "absent")
	w.failed("apps", "ReconciliationFailed", `serviceaccounts "absent" not found`)
	say("serviceAccountName", "remote")
	w.failed("apps", "ReconciliationFailed", "has asked for the client to provide credentials") // it is a token for the address, and nobody here goes by that name
	say("audiences", "- https://kubernetes.default.svc.cluster.local\n")
	w.failed("apps", "ReconciliationFailed", `User "system:serviceaccount:`+w.namespace+`:remote" cannot patch resource "configmaps"`)
	w.bindRole("remote", "edit")
	w.ready("apps", revision)
	w.edit(w.configMap("settings"), set("color", "red"))
	await(w, w.configMap("settings"), "blue again", holds("color", "blue"))
	w.daemon.traffic.take(w.namespace)
	w.unit("more", byAccount)
	w.ready("more", revision)
	for _, one := range w.daemon.traffic.take(w.namespace) {
		if strings.Contains(one.Path, "serviceaccounts/") || strings.HasPrefix(one.Path, "configmaps/second") {
			t.Errorf("units with the same account share its token, and nothing is sent in our own name: %s", one)
		}
	}
	w.remove("apps")
}

// TestKubeConfigOfOneNamespace: an account that may see nothing but its own namespace is enough for drift
// and health, and for another such namespace later.
func TestKubeConfigOfOneNamespace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("remote", "edit")
	other := clustertest.Namespace(t)
	w.create(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: other, Name: "remote"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: w.namespace, Name: "remote"}},
	})
	w.secret("cluster", map[string]string{"value": w.kubeconfig("token: " + w.token("remote"))})
	there := func(u *kustomizev1.Kustomization) {
		u.Spec.KubeConfig = &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: "cluster"}}
		u.Spec.Wait = true
	}
	revision := w.commit(map[string]string{
		"apps/a.yaml": configMap("settings", "color: blue"), "apps/b.yaml": deployment("web", "web", 1),
		"more/a.yaml": configMap("settings", "color: green"),
	})
	w.source()
	w.unit("apps", there)
	w.ready("apps", revision)
	w.edit(w.configMap("settings"), set("color", "red"))
	await(w, w.configMap("settings"), "blue again", holds("color", "blue"))

	w.unit("more", there, func(u *kustomizev1.Kustomization) { u.Spec.TargetNamespace = other })
	w.ready("more", revision)
	elsewhere := w.configMap("settings")
	elsewhere.SetNamespace(other)
	w.edit(elsewhere, set("color", "red"))
	await(w, elsewhere, "green again", holds("color", "green"))
	w.edit(w.configMap("settings"), set("color", "red"))
	await(w, w.configMap("settings"), "blue again", holds("color", "blue"))
}

// TestDeletionWithoutKubeConfig: a cluster that cannot be reached for good must not hold a unit back.
func TestDeletionWithoutKubeConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("remote", "edit")
	w.secret("cluster", map[string]string{"value": w.kubeconfig("token: " + w.token("remote"))})
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings")}, func(u *kustomizev1.Kustomization) {
		u.Spec.KubeConfig = &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: "cluster"}}
	})
	w.delete(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "cluster"}})
	w.failed("apps", "ReconciliationFailed", "not found") // it has seen that
	w.remove("apps")
}

// watcher lets an account watch the whole cluster, as the watches of a remote cluster need it.
func (w *world) watcher(account string) {
	w.t.Helper()
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: w.namespace + "-" + account},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: w.namespace, Name: account}},
	}
	w.create(binding)
	w.t.Cleanup(func() { _ = w.client.Delete(context.Background(), binding) })
}

func (w *world) secret(name string, data map[string]string) {
	w.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, StringData: data}
	if old := read(w, secret); old != nil {
		check(w.t, w.client.Update(context.Background(), secret))
		return
	}
	w.create(secret)
}

// token makes a token for a service account.
func (w *world) token(account string) string {
	w.t.Helper()
	seconds := int64(time.Hour / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	check(w.t, w.client.SubResource("token").Create(context.Background(),
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: account}}, request))
	return request.Status.Token
}

// kubeconfig writes a kubeconfig for the test cluster with another user.
func (w *world) kubeconfig(user string) string {
	w.t.Helper()
	config := clustertest.Start(w.t)
	return "apiVersion: v1\nkind: Config\ncurrent-context: there\ncontexts: [{name: there, context: {cluster: c, user: u}}]\n" +
		"clusters: [{name: c, cluster: {server: " + config.Host + ", certificate-authority-data: " + encode(config.CAData) + "}}]\n" +
		"users: [{name: u, user: {" + user + "}}]\n"
}
