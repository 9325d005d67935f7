package operator_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/config/install"
	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/operator"
)

// TestRights: the account that the manifests make may do what the controller does in its own name, and
// where units act as accounts, it may change nothing else.
func TestRights(t *testing.T) {
	t.Parallel()
	shared(t)
	w := emptyWorld(t)
	w.own = true
	w.install(install.Options{Image: "holdfast-controller", Namespace: w.namespace, DefaultServiceAccount: "tenant"})
	log := &requestLog{asked: map[authorizationv1.ResourceAttributes]bool{}}
	w.daemon = w.start(func(c *operator.Config) {
		admin := c.REST
		c.REST = rest.AnonymousClientConfig(admin)
		c.REST.BearerToken = w.token(install.Deployment)
		c.REST.Wrap(log.wrap)
		c.Namespace, c.LeaderElection = w.namespace, true
		c.Kustomizations.DefaultServiceAccount, c.Kustomizations.NoCrossNamespaceRefs = "tenant", true
	})
	w.account("tenant", "edit")
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings", "color: blue")})
	w.edit(w.configMap("settings"), set("color", "red"))
	await(w, w.configMap("settings"), "blue again", holds("color", "blue"))
	w.remove("apps")
	w.daemon.halt()

	for _, one := range log.requests() {
		if !w.may(one) {
			t.Errorf("the controller sends this, and may not: %+v", one)
		}
	}
	for _, refused := range log.refused {
		t.Errorf("refused: %s", refused)
	}
	write := authorizationv1.ResourceAttributes{Namespace: "kube-system", Verb: "create", Group: "apps", Resource: "deployments"}
	if w.may(write) {
		t.Error("where units act as accounts, the controller must not be able to deliver in its own name")
	}
	w.install(install.Options{Image: "holdfast-controller", Namespace: w.namespace})
	eventually.True(t, "units without an account are delivered where nobody says otherwise", func() bool { return w.may(write) })
}

// install applies the manifests as an administrator.
func (w *world) install(o install.Options) {
	w.t.Helper()
	cluster, err := kube.Connect("", clustertest.Start(w.t), kube.Options{})
	check(w.t, err)
	objects, err := install.Objects(o)
	check(w.t, err)
	for _, u := range objects {
		body, err := u.MarshalJSON()
		check(w.t, err)
		_, err = cluster.Apply(context.Background(), object.RefOf(u), body, kube.ApplyOptions{Manager: "test"})
		check(w.t, err)
		if u.GetNamespace() == "" && u.GetKind() != "Namespace" {
			w.t.Cleanup(func() { _ = cluster.Delete(context.Background(), object.RefOf(u), kube.DeleteOptions{}) })
		}
	}
}

// may asks the server whether the controller's account may do something, as `kubectl auth can-i` does.
func (w *world) may(wish authorizationv1.ResourceAttributes) bool {
	w.t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + w.namespace + ":" + install.Deployment,
		Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + w.namespace, "system:authenticated"},
		ResourceAttributes: &wish,
	}}
	check(w.t, w.client.Create(context.Background(), review))
	return review.Status.Allowed
}

// requestLog collects what a daemon asks for in its own name, and what it is refused.
type requestLog struct {
	lock    sync.Mutex
	asked   map[authorizationv1.ResourceAttributes]bool
	refused []string
}

func (l *requestLog) wrap(next http.RoundTripper) http.RoundTripper {
	reader := apirequest.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		info, err := reader.NewRequestInfo(r)
		if err != nil {
			return nil, err
		}
		answer, err := next.RoundTrip(r)
		l.lock.Lock()
		defer l.lock.Unlock()
		if err == nil && answer.StatusCode == http.StatusForbidden {
			l.refused = append(l.refused, r.Method+" "+r.URL.Path+" as "+r.Header.Get("Impersonate-User"))
		}
		account, impersonated := strings.CutPrefix(r.Header.Get("Impersonate-User"), "system:serviceaccount:")
		switch namespace, name, _ := strings.Cut(account, ":"); {
		case impersonated:
			l.asked[authorizationv1.ResourceAttributes{Verb: "impersonate", Resource: "serviceaccounts", Namespace: namespace, Name: name}] = true
		case info.IsResourceRequest:
			l.asked[authorizationv1.ResourceAttributes{
				Verb: info.Verb, Group: info.APIGroup, Version: info.APIVersion, Resource: info.Resource,
				Subresource: info.Subresource, Namespace: info.Namespace, Name: info.Name,
			}] = true
		}
		return answer, err
	})
}

func (l *requestLog) requests() []authorizationv1.ResourceAttributes {
	l.lock.Lock()
	defer l.lock.Unlock()
	all := make([]authorizationv1.ResourceAttributes, 0, len(l.asked))
	for one := range l.asked {
		all = append(all, one)
	}
	return all
}
