package identity_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/kube/identity/identitytest"
)

var robot = identity.Account{Namespace: "web", Name: "robot"}

// ask asks a provider for what it gives, in a form that tells whose it is.
var ask = map[string]func(context.Context, identity.Holder) (string, error){
	identity.AWS: func(ctx context.Context, h identity.Holder) (string, error) {
		keys, err := h.AWS(ctx, "eu-west-1")
		return keys.ID + " " + keys.Session.Reveal(), err
	},
	identity.Azure: func(ctx context.Context, h identity.Holder) (string, error) {
		token, err := h.Azure(ctx, "https://vault.azure.net/.default")
		return token.Value.Reveal(), err
	},
	identity.Google: func(ctx context.Context, h identity.Holder) (string, error) {
		token, err := h.Google(ctx)
		return token.Value.Reveal(), err
	},
}

var gives = map[string]string{
	identity.AWS:    "AKIAweb.robot session-arn:aws:iam::123456789012:role/unit",
	identity.Azure:  "azure of web.robot for https://vault.azure.net/.default openid offline_access profile",
	identity.Google: "google of web.robot",
}

// TestExchange: an account gets what is its own, once for as long as it is valid, and nobody else does.
func TestExchange(t *testing.T) {
	for provider, get := range ask {
		t.Run(provider, func(t *testing.T) {
			w := identitytest.New(t)
			w.Account("web", "robot", identitytest.Everybody())
			w.Account("shop", "robot", identitytest.Everybody())
			now := time.Now()
			source := w.Source(identity.Options{Now: func() time.Time { return now }})
			var wait sync.WaitGroup
			for range 20 {
				wait.Go(func() {
					if got, err := get(t.Context(), source.Of(robot)); err != nil || got != gives[provider] {
						t.Errorf("got %q, %v; want %q", got, err, gives[provider])
					}
				})
			}
			wait.Wait()
			if w.Asked(provider) != 1 || w.Asked("token") != 1 {
				t.Errorf("asked %d times with %d tokens: once would do", w.Asked(provider), w.Asked("token"))
			}
			other, err := get(t.Context(), source.Of(identity.Account{Namespace: "shop", Name: "robot"}))
			if err != nil || other == gives[provider] || !strings.Contains(other, "shop") {
				t.Errorf("an account of another namespace got %q, %v", other, err)
			}
			now = now.Add(50 * time.Minute)
			if _, err := get(t.Context(), source.Of(robot)); err != nil || w.Asked(provider) != 3 {
				t.Errorf("what is about to expire was not asked for anew: %d, %v", w.Asked(provider), err)
			}
			w.Delete("web", "robot")
			now = now.Add(2 * time.Minute)
			if _, err := get(t.Context(), source.Of(robot)); err == nil || !strings.Contains(err.Error(), "ServiceAccount web/robot not found") {
				t.Errorf("an account that is gone lives on: %v", err)
			}
		})
	}
}

// TestChangedAccount: an account that is made somebody else is that within a minute.
func TestChangedAccount(t *testing.T) {
	w := identitytest.New(t)
	w.Account("web", "robot", identitytest.Everybody())
	now := time.Now()
	source := w.Source(identity.Options{Now: func() time.Time { return now }})
	if _, err := source.Of(robot).AWS(t.Context(), "eu-west-1"); err != nil {
		t.Fatal(err)
	}
	w.Account("web", "robot", map[string]string{"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/other"})
	now = now.Add(time.Minute)
	keys, err := source.Of(robot).AWS(t.Context(), "eu-west-1")
	if err != nil || !strings.HasSuffix(keys.Session.Reveal(), "role/other") {
		t.Errorf("got %s, %v", keys.Session.Reveal(), err)
	}
	if shown := fmt.Sprintf("%v %+v", keys, keys); strings.Contains(shown, identitytest.Canary) || strings.Contains(shown, "role/other") {
		t.Errorf("credentials print as %s", shown)
	}
}

// TestNobody: our own identity is lent to those who name no account only where the operator says so.
func TestNobody(t *testing.T) {
	w := identitytest.New(t)
	t.Setenv("AWS_REGION", "eu-west-1")
	nobody := identity.Account{Namespace: "web"}
	for provider, get := range ask {
		if _, err := get(t.Context(), w.Source(identity.Options{}).Of(nobody)); !errors.Is(err, identity.ErrNoAccount) {
			t.Errorf("%s: %v", provider, err)
		}
	}
	if _, err := (identity.Holder{}).AWS(t.Context(), "eu-west-1"); !errors.Is(err, identity.ErrNoAccount) {
		t.Errorf("the zero value: %v", err)
	}
	own := w.Source(identity.Options{Own: true}).Of(nobody)
	if keys, err := own.AWS(t.Context(), "eu-west-1"); err != nil || keys.ID != "AKIAown" {
		t.Errorf("where it is allowed: %q, %v", keys.ID, err)
	}
	if _, err := own.Kubernetes(t.Context(), "https://vault.example.org"); !errors.Is(err, identity.ErrNoAccount) {
		t.Errorf("a token of our own account is for nobody: %v", err)
	}
	if _, err := own.Cluster(t.Context(), identity.Remote{Provider: "gcp", Resource: "projects/p/locations/l/clusters/c", Address: "https://evil.example.org"}); err == nil || !strings.Contains(err.Error(), "is not sent to an address") {
		t.Errorf("our own token to an address of others: %v", err)
	}
}

// TestRefusals: what is wrong is said in one sentence, without a word of what was answered.
func TestRefusals(t *testing.T) {
	cases := map[string]struct {
		why         string
		annotations map[string]string
		status      int
		closed      bool
		passes      bool
		says        map[string]string
	}{
		"NotAnnotated": {why: "the annotation is named", annotations: map[string]string{}, says: map[string]string{
			"aws": "eks.amazonaws.com/role-arn", "azure": "azure.workload.identity/tenant-id", "gcp": "gcp.auth.fluxcd.io/workload-identity-provider",
		}},
		"Refused": {why: "the code is said", status: http.StatusForbidden, says: map[string]string{
			"aws": "AWS refuses ServiceAccount web/robot: AccessDenied", "azure": "403 (AADSTS700213)", "gcp": "403 (invalid_grant)",
		}},
		"Broken": {why: "another time it may work", status: http.StatusServiceUnavailable, passes: true, says: map[string]string{
			"aws": "AWS answers with", "azure": "Azure answers with", "gcp": "Google Cloud answers with",
		}},
		"Away": {why: "so may it here", closed: true, passes: true, says: map[string]string{
			"aws": "no connection to AWS", "azure": "no connection to Azure", "gcp": "no connection to Google Cloud",
		}},
	}
	t.Setenv("GCE_METADATA_HOST", "127.0.0.1:1")
	for name, tc := range cases {
		for provider, get := range ask {
			t.Run(name+"/"+provider, func(t *testing.T) {
				w := identitytest.New(t)
				w.Account("web", "robot", identitytest.Everybody())
				if tc.annotations != nil {
					w.Account("web", "robot", tc.annotations)
				}
				w.Fail(tc.status)
				if tc.closed {
					w.Cloud.Close()
				}
				_, err := get(t.Context(), w.Source(identity.Options{}).Of(robot))
				switch {
				case err == nil, !strings.Contains(err.Error(), tc.says[provider]), errors.Is(err, identity.ErrUnavailable) != tc.passes:
					t.Errorf("%s: %v", tc.why, err)
				case strings.Contains(err.Error(), identitytest.Canary), strings.Contains(err.Error(), "\n"):
					t.Errorf("it says too much: %v", err)
				}
			})
		}
	}
}

// TestGit: CodeCommit gets a signature of the address, Azure DevOps a token, and nobody else anything.
func TestGit(t *testing.T) {
	w := identitytest.New(t)
	w.Account("web", "robot", identitytest.Everybody())
	holder := w.Source(identity.Options{}).Of(robot)
	login, err := holder.Git(t.Context(), "aws", "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/platform")
	if err != nil || login.User.Reveal() != "AKIAweb.robot%session-arn:aws:iam::123456789012:role/unit" || len(login.Secret) != len("20060102T150405Z")+64 {
		t.Errorf("CodeCommit: user %q, a secret of %d bytes, %v", login.User.Reveal(), len(login.Secret), err)
	}
	if left := time.Until(login.Expires); left > 15*time.Minute || left < 14*time.Minute {
		t.Errorf("a signature is good for 15 minutes, not %s", left)
	}
	login, err = holder.Git(t.Context(), "azure", "https://dev.azure.com/org/project/_git/platform")
	if err != nil || login.User != "" || !strings.HasPrefix(login.Secret.Reveal(), "azure of web.robot for 499b84ac-1321-427f-aa17-267ca6975798/.default") {
		t.Errorf("Azure DevOps: %q, %v", login.Secret.Reveal(), err)
	}
	for _, tc := range []struct{ why, provider, address string }{
		{"a host of others", "azure", "https://evil.example.org/org/project/_git/platform"},
		{"a host that looks alike", "azure", "https://dev.azure.com.example.org/org"},
		{"a host of others", "aws", "https://git.example.org/v1/repos/platform"},
		{"a host that looks alike", "aws", "https://git-codecommit.eu-west-1.amazonaws.com.example.org/v1"},
		{"no encryption", "aws", "http://git-codecommit.eu-west-1.amazonaws.com/v1/repos/platform"},
		{"a user", "azure", "https://me:pass@dev.azure.com/org"},
		{"a provider without repositories", "gcp", "https://source.developers.google.com/p/x"},
	} {
		if login, err := holder.Git(t.Context(), tc.provider, tc.address); err == nil || login.Secret != "" {
			t.Errorf("%s: %s got a login", tc.why, tc.address)
		}
	}
}

// TestRegistry: each provider's registry gets its login, and only that.
func TestRegistry(t *testing.T) {
	w := identitytest.New(t)
	w.Account("web", "robot", identitytest.Everybody())
	holder := w.Source(identity.Options{}).Of(robot)
	for _, tc := range []struct{ provider, repository, user, secret, counted string }{
		{"aws", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/apps/web", "AWS", identitytest.Canary, "ecr"},
		{"azure", "example.azurecr.io/apps/web", "00000000-0000-0000-0000-000000000000", "eyJ", "acr"},
		{"gcp", "europe-docker.pkg.dev/p/apps/web", "oauth2accesstoken", "google of web.robot", "gcp"},
	} {
		for range 2 {
			login, err := holder.Registry(t.Context(), tc.provider, tc.repository)
			if err != nil || login.User.Reveal() != tc.user || !strings.HasPrefix(login.Secret.Reveal(), tc.secret) {
				t.Errorf("%s: %q %q, %v", tc.provider, login.User.Reveal(), login.Secret.Reveal(), err)
			}
		}
		if w.Asked(tc.counted) != 1 {
			t.Errorf("%s was asked %d times for the same", tc.provider, w.Asked(tc.counted))
		}
		if _, err := holder.Registry(t.Context(), tc.provider, "registry.example.org/apps/web"); err == nil {
			t.Errorf("%s: a registry of others got a login", tc.provider)
		}
	}
}

// TestCluster: clusters at providers are found, and get a token that is for them.
func TestCluster(t *testing.T) {
	w := identitytest.New(t)
	w.Account("web", "robot", identitytest.Everybody())
	holder := w.Source(identity.Options{}).Of(robot)
	for _, tc := range []struct{ provider, resource, counted, shown string }{
		{"aws", "arn:aws:eks:eu-west-1:123456789012:cluster/prod", "eks", "k8s-aws-v1."},
		{"azure", "/subscriptions/" + identitytest.Tenant + "/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/prod", "aks", "azure of web.robot for 6dae42f8-4368-4678-94ff-3960e28e3630/.default"},
		{"gcp", "projects/p/locations/l/clusters/prod", "gke", "google of web.robot"},
	} {
		t.Run(tc.provider, func(t *testing.T) {
			config, err := holder.Cluster(t.Context(), identity.Remote{Provider: tc.provider, Resource: tc.resource})
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(config.BearerToken, config.Host) != w.Cloud.URL {
				t.Errorf("got %q", config.Host)
			}
			get(t, config)
			get(t, config)
			seen := w.Seen()
			last := seen[len(seen)-1]
			if !strings.HasPrefix(last, tc.shown) {
				t.Errorf("it was shown %q", last)
			}
			if tc.provider == "aws" {
				signed, _ := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(last, tc.shown))
				if text := string(signed); !strings.HasPrefix(text, "https://sts.eu-west-1.amazonaws.com/") || !strings.Contains(text, "x-k8s-aws-id") {
					t.Errorf("what is signed is %q", text)
				}
			}
			before := w.Asked(tc.counted)
			if _, err := holder.Cluster(t.Context(), identity.Remote{Provider: tc.provider, Resource: tc.resource}); err != nil || w.Asked(tc.counted) != before {
				t.Errorf("it was looked for again: %v", err)
			}
			known := identity.Remote{Provider: tc.provider, Resource: tc.resource, Address: w.Cloud.URL, CA: w.CA()}
			if _, err := holder.Cluster(t.Context(), known); err != nil || w.Asked(tc.counted) != before {
				t.Errorf("what is known was looked for: %v", err)
			}
			if _, err := holder.Cluster(t.Context(), identity.Remote{Provider: tc.provider, Resource: "nonsense"}); err == nil {
				t.Error("a name that is none was found")
			}
		})
	}
}

func get(t *testing.T, config *rest.Config) {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Get(config.Host + "/api")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
}

// TestKubernetes: a token is for whom it is meant.
func TestKubernetes(t *testing.T) {
	w := identitytest.New(t)
	w.Account("web", "robot", nil)
	token, err := w.Source(identity.Options{}).Of(robot).Kubernetes(t.Context(), "https://vault.example.org:8200")
	if err != nil || !strings.HasSuffix(token.Reveal(), "web|robot|https://vault.example.org:8200") {
		t.Errorf("got %s, %v", token.Reveal(), err)
	}
	if _, err := w.Source(identity.Options{}).Of(identity.Account{Namespace: "web", Name: "../x"}).AWS(t.Context(), "eu-west-1"); err == nil {
		t.Error("a name that leads elsewhere is taken")
	}
}
