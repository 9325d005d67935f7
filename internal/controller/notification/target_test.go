package notification

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "github.com/fluxcd/notification-controller/api/v1"
	v1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/record/alert"
	"holdfast.dev/holdfast/internal/record/event"
)

// cluster holds one Provider and some Secrets.
type cluster struct {
	client.Reader
	provider *v1beta3.Provider
	secrets  map[string]map[string]string
}

// Get implements client.Reader.
func (c cluster) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	switch into := into.(type) {
	case *v1beta3.Provider:
		if c.provider != nil && c.provider.Name == key.Name {
			c.provider.DeepCopyInto(into)
			return nil
		}
	case *corev1.Secret:
		if data, found := c.secrets[key.Name]; found && key.Namespace == "apps" {
			into.Name, into.Data = key.Name, map[string][]byte{}
			for name, value := range data {
				into.Data[name] = []byte(value)
			}
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "things"}, key.Name)
}

func provider(change func(*v1beta3.ProviderSpec)) *v1beta3.Provider {
	p := &v1beta3.Provider{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "p", UID: "u-1"}}
	p.Spec.Type, p.Spec.Address = "generic", "https://spec.example.org"
	if change != nil {
		change(&p.Spec)
	}
	return p
}

func ref(name string) *meta.LocalObjectReference { return &meta.LocalObjectReference{Name: name} }

func TestOpen(t *testing.T) {
	type seen struct {
		Address, Username, Token, Password, Proxy, Header string
		Secret, TLS                                       bool
	}
	all := func(s *v1beta3.ProviderSpec) { s.SecretRef = ref("s") }
	cases := map[string]struct {
		why     string
		change  func(*v1beta3.ProviderSpec)
		secrets map[string]map[string]string
		want    seen
		err     string
		kind    fault.Kind
	}{
		"Plain":    {why: "a Provider needs no Secret", want: seen{Address: "https://spec.example.org"}},
		"Override": {why: "the Secret comes before the spec, and blanks do not count", change: func(s *v1beta3.ProviderSpec) { s.Username, s.SecretRef = "spec", ref("s") }, secrets: map[string]map[string]string{"s": {"address": " https://secret.example.org\n", "username": "u", "password": "p", "token": "t\n", "headers": "X: z", "proxy": "http://old:1"}}, want: seen{Address: "https://secret.example.org", Username: "u", Password: "p", Token: "t", Header: "z", Proxy: "http://old:1", Secret: true}},
		"Proxy":    {why: "proxySecretRef comes before all others", change: func(s *v1beta3.ProviderSpec) { s.Proxy, s.ProxySecretRef = "http://spec:1", ref("x") }, secrets: map[string]map[string]string{"x": {"address": "http://proxy:3128", "username": "u", "password": "p"}}, want: seen{Address: "https://spec.example.org", Proxy: "http://u:p@proxy:3128"}},
		"Missing":  {why: "a Secret may still come", change: all, err: `opening Provider apps/p: reading Secret s: things "s" not found`},
		"Headers":  {why: "what is no map is not quoted", change: all, secrets: map[string]map[string]string{"s": {"headers": "[canary"}}, err: "opening Provider apps/p: the headers in Secret s are not a YAML map of texts"},
		"Long":     {why: "an address has an end", change: all, secrets: map[string]map[string]string{"s": {"address": "https://" + strings.Repeat("canary", 400)}}, err: "opening Provider apps/p: the address in Secret s is longer than 2048 bytes"},
		"No proxy": {why: "a proxy needs an address", change: func(s *v1beta3.ProviderSpec) { s.ProxySecretRef = ref("x") }, secrets: map[string]map[string]string{"x": {"address": "canary"}}, err: "opening Provider apps/p: Secret x has no proxy URL under the key address"},
		"No cert":  {why: "certificates need a key to be under", change: func(s *v1beta3.ProviderSpec) { s.CertSecretRef = ref("x") }, secrets: map[string]map[string]string{"x": {"canary": "x"}}, err: "opening Provider apps/p: Secret x has neither ca.crt nor tls.crt and tls.key"},
		"Bad cert": {why: "and to be some", change: func(s *v1beta3.ProviderSpec) { s.CertSecretRef = ref("x") }, secrets: map[string]map[string]string{"x": {"caFile": "canary"}}, err: "opening Provider apps/p: Secret x has no certificate under ca.crt"},
		"Pair":     {why: "a certificate without its key is none", change: func(s *v1beta3.ProviderSpec) { s.CertSecretRef = ref("x") }, secrets: map[string]map[string]string{"x": {"tls.crt": "canary"}}, err: "opening Provider apps/p: Secret x: tls.crt and tls.key are no pair"},
		"App":      {why: "what is not served is said", change: all, secrets: map[string]map[string]string{"s": {"githubAppID": "1"}}, err: "opening Provider apps/p: Secret s holds a GitHub App, which is not served by Holdfast yet: give a token instead"},
		"Account":  {why: "nor is another identity taken instead", change: func(s *v1beta3.ProviderSpec) { s.ServiceAccountName = "x" }, err: "opening Provider apps/p: spec.serviceAccountName is not served by Holdfast yet: give a token in spec.secretRef instead"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			reader := cluster{provider: provider(c.change), secrets: c.secrets}
			target, err := Open(t.Context(), reader, reader, client.ObjectKey{Namespace: "apps", Name: "p"})
			if c.err != "" {
				if err == nil || err.Error() != c.err || fault.KindOf(err) != c.kind || fault.AfterOf(err) != time.Minute {
					t.Errorf("%s: got %v", c.why, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := seen{
				Address: target.Address.Reveal(), Username: target.Username, Token: target.Token.Reveal(), Password: target.Password.Reveal(),
				Proxy: target.Proxy.Reveal(), Header: target.Headers["X"].Reveal(), Secret: target.AddressIsSecret, TLS: target.TLS != nil,
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
			if shown := fmt.Sprintf("%+v %#v", target, target); strings.Contains(shown, "secret.example.org") || strings.Contains(shown, "u:p@") {
				t.Errorf("%s: the target prints %s", c.why, shown)
			}
		})
	}
	if _, err := Open(t.Context(), cluster{}, cluster{}, client.ObjectKey{Namespace: "apps", Name: "gone"}); fault.KindOf(err) != fault.Stalled {
		t.Errorf("a Provider that is gone is not waited for: %v", err)
	}
}

func TestRuleOf(t *testing.T) {
	a := &v1beta3.Alert{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "a"}, Spec: v1beta3.AlertSpec{
		ProviderRef: meta.LocalObjectReference{Name: "p"}, EventSeverity: "error", InclusionList: []string{"i"}, ExclusionList: []string{"e"},
		EventMetadata: map[string]string{"k": "v"}, Summary: "s",
		EventSources: []v1.CrossNamespaceObjectReference{{Kind: "Kustomization", Name: "*", Namespace: "n", MatchLabels: map[string]string{"l": "m"}}},
	}}
	want := alert.Rule{
		Namespace: "apps", Name: "a", Severity: "error", Include: []string{"i"}, Exclude: []string{"e"}, Metadata: map[string]string{"k": "v"}, Summary: "s",
		Sources:  []alert.Source{{Kind: "Kustomization", Name: "*", Namespace: "n", Labels: map[string]string{"l": "m"}}},
		Provider: alert.Provider{Name: "p", Type: "generic", UID: "u-1"},
	}
	if diff := cmp.Diff(want, ruleOf(a, provider(nil))); diff != "" {
		t.Errorf("the rule differs (-want +got):\n%s", diff)
	}
	if !ruleOf(a, nil).Provider.Missing {
		t.Error("a Provider that is not there is not missed")
	}
	named := provider(func(s *v1beta3.ProviderSpec) {
		s.Type, s.CommitStatusExpr = "github", "event.involvedObject.kind + '/' + event.metadata.env + '/' + alert.metadata.name + '/' + provider.spec.type"
	})
	said := event.Event{Metadata: map[string]string{"env": "eu"}}
	said.InvolvedObject.Kind = "Kustomization"
	if name, err := ruleOf(a, named).Provider.StatusName(t.Context(), said); err != nil || name != "Kustomization/eu/a/github" {
		t.Errorf("the status is named %q, %v", name, err)
	}
	for text, why := range map[string]string{"1 + 1": "a number is no name", "event.": "a half is no expression", "other.x": "other names are not known"} {
		if faultOfProvider(provider(func(s *v1beta3.ProviderSpec) { s.CommitStatusExpr = text })) == nil {
			t.Errorf("%s: %s", text, why)
		}
	}
}
