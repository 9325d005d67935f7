package identitytest

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/kube/identity"
)

// World is a cluster and the providers that trust its accounts.
type World struct {
	Home *kube.Cluster
	// Cloud answers for all providers, and for the API server of a cluster at them.
	Cloud *httptest.Server
	t     *testing.T

	lock     sync.Mutex
	accounts map[string]*corev1.ServiceAccount
	born     int
	asked    map[string]int
	status   int
	seen     []string // bearer tokens that the remote API server got
}

// Canary is in every refusal of a provider, and in every token. No message may show it.
const Canary = "canary-7d1f"

// New starts a world.
func New(t *testing.T) *World {
	t.Helper()
	w := &World{t: t, accounts: map[string]*corev1.ServiceAccount{}, asked: map[string]int{}}
	home := httptest.NewServer(http.HandlerFunc(w.serveHome))
	t.Cleanup(home.Close)
	var err error
	if w.Home, err = kube.Connect("", &rest.Config{Host: home.URL}, kube.Options{}); err != nil {
		t.Fatal(err)
	}
	w.Cloud = httptest.NewTLSServer(http.HandlerFunc(w.serveCloud))
	t.Cleanup(w.Cloud.Close)
	return w
}

// Source makes credentials in this world.
func (w *World) Source(options identity.Options) *identity.Source {
	options.Providers = w.Providers()
	return identity.New(w.Home, options)
}

// Providers are those of this world, for whoever makes a Source.
func (w *World) Providers() identity.Providers {
	return identity.Providers{AWS: amazon{w}, Azure: microsoft{w}, Google: google{w}}
}

// Account makes or changes an account. Its annotations say who it is to providers.
func (w *World) Account(namespace, name string, annotations map[string]string) {
	w.lock.Lock()
	defer w.lock.Unlock()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: annotations}}
	if before := w.accounts[namespace+"/"+name]; before != nil {
		account.UID = before.UID
	} else {
		w.born++
		account.UID = types.UID(fmt.Sprintf("uid-%d", w.born))
	}
	w.accounts[namespace+"/"+name] = account
}

// Delete deletes an account.
func (w *World) Delete(namespace, name string) {
	w.lock.Lock()
	defer w.lock.Unlock()
	delete(w.accounts, namespace+"/"+name)
}

// Fail makes all providers answer with a status; 0 is none.
func (w *World) Fail(status int) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.status = status
}

// Asked tells how often something was asked for: "token", "aws", "azure", "gcp", "ecr", "acr", "eks", "aks", "gke".
func (w *World) Asked(what string) int {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.asked[what]
}

// Seen returns the bearer tokens that the API server of the cluster at a provider was shown.
func (w *World) Seen() []string {
	w.lock.Lock()
	defer w.lock.Unlock()
	return append([]string(nil), w.seen...)
}

// CA is the certificate of Cloud, in PEM.
func (w *World) CA() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.Cloud.Certificate().Raw}))
}

// Everybody is annotated for all three providers.
func Everybody() map[string]string {
	return map[string]string{
		"eks.amazonaws.com/role-arn":                    "arn:aws:iam::123456789012:role/unit",
		"azure.workload.identity/tenant-id":             Tenant,
		"azure.workload.identity/client-id":             "66666666-2222-3333-4444-555555555555",
		"gcp.auth.fluxcd.io/workload-identity-provider": "projects/1/locations/global/workloadIdentityPools/p/providers/q",
	}
}

// Tenant is a tenant of Azure.
const Tenant = "11111111-2222-3333-4444-555555555555"

func (w *World) count(what string) (status int) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.asked[what]++
	return w.status
}

// subject is a token of an account: it says whose it is and for whom, and is believed.
func subject(namespace, name string, audiences []string) string {
	return strings.Join([]string{Canary, namespace, name, strings.Join(audiences, "+")}, "|")
}

// holder returns who a token is of, if it is one for an audience.
func holder(token, audience string) (string, bool) {
	parts := strings.Split(token, "|")
	if len(parts) != 4 || parts[0] != Canary || parts[3] != audience {
		return "", false
	}
	return parts[1] + "." + parts[2], true
}

func (w *World) serveHome(writer http.ResponseWriter, r *http.Request) {
	steps := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // api v1 namespaces NS serviceaccounts NAME [token]
	if len(steps) < 6 {
		http.Error(writer, "nothing here", http.StatusNotFound)
		return
	}
	w.lock.Lock()
	account := w.accounts[steps[3]+"/"+steps[5]]
	w.lock.Unlock()
	writer.Header().Set("Content-Type", "application/json")
	if account == nil {
		writer.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(writer).Encode(metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: http.StatusNotFound,
			Reason: metav1.StatusReasonNotFound, Message: fmt.Sprintf("serviceaccounts %q not found", steps[5]),
		})
		return
	}
	if len(steps) == 6 {
		_ = json.NewEncoder(writer).Encode(account)
		return
	}
	w.count("token")
	var request authenticationv1.TokenRequest
	_ = json.NewDecoder(r.Body).Decode(&request)
	request.Status = authenticationv1.TokenRequestStatus{
		Token: subject(steps[3], steps[5], request.Spec.Audiences), ExpirationTimestamp: metav1.NewTime(time.Now().Add(time.Hour)),
	}
	_ = json.NewEncoder(writer).Encode(request)
}
