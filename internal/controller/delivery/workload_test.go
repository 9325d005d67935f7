package delivery

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/kube/identity/identitytest"
)

func TestParseWorkload(t *testing.T) {
	cases := map[string]struct {
		why, standard string
		data          map[string]string
		want          workload
		wantErr       string
	}{
		"Least": {
			why:  "an address and an account are enough; the token is for the address as it is written",
			data: map[string]string{"provider": "generic", "address": "Prod.Example.com", "serviceAccountName": "deployer"},
			want: workload{Address: "https://prod.example.com:443", Account: kube.Account{Name: "deployer", Audiences: []string{"Prod.Example.com"}}},
		},
		"Audiences": {
			why:  "Flux reads a list",
			data: map[string]string{"provider": "generic", "address": "https://10.0.0.1:6443/", "serviceAccountName": "deployer", "audiences": "- one\n- two\n"},
			want: workload{Address: "https://10.0.0.1:6443", Account: kube.Account{Name: "deployer", Audiences: []string{"one", "two"}}},
		},
		"Lines": {
			why:  "its API's documentation says that it is lines",
			data: map[string]string{"provider": "generic", "address": "https://there", "serviceAccountName": "deployer", "audiences": "one\n\ntwo\n"},
			want: workload{Address: "https://there:443", Account: kube.Account{Name: "deployer", Audiences: []string{"one", "two"}}},
		},
		"Standard": {
			why: "an operator may say which account it is where none is named", standard: "tenant",
			data: map[string]string{"provider": "generic", "address": "https://there"},
			want: workload{Address: "https://there:443", Account: kube.Account{Name: "tenant", Audiences: []string{"https://there"}}},
		},
		"NoAccount": {why: "a token of the controller would make everybody its equal", data: map[string]string{"provider": "generic", "address": "https://there"}, wantErr: "serviceAccountName is missing"},
		"Path":      {why: "the name becomes a part of a path", data: map[string]string{"provider": "generic", "address": "https://there", "serviceAccountName": "../../x"}, wantErr: "not the name of a ServiceAccount"},
		"Cloud": {
			why:  "a provider knows where its clusters are",
			data: map[string]string{"provider": "aws", "cluster": "arn:aws:eks:x", "serviceAccountName": "deployer"},
			want: workload{Provider: "aws", Cluster: "arn:aws:eks:x", Account: kube.Account{Name: "deployer"}},
		},
		"CloudAddress": {
			why:  "an address chooses among those that a cluster has",
			data: map[string]string{"provider": "gcp", "cluster": "projects/p/locations/l/clusters/c", "address": "10.0.0.1"},
			want: workload{Provider: "gcp", Cluster: "projects/p/locations/l/clusters/c", Address: "https://10.0.0.1:443"},
		},
		"NoCluster":  {why: "the provider has to be asked for one", data: map[string]string{"provider": "azure", "serviceAccountName": "deployer"}, wantErr: "key cluster is missing"},
		"NoArn":      {why: "AWS's token is for one cluster", data: map[string]string{"provider": "aws", "address": "https://there"}, wantErr: "key cluster is missing"},
		"Meant":      {why: "a provider's tokens have its own audience", data: map[string]string{"provider": "aws", "cluster": "x", "audiences": "y"}, wantErr: "key audiences has a meaning for provider generic"},
		"NoProvider": {why: "the key is required", data: map[string]string{"address": "https://there"}, wantErr: `provider "" is none of`},
		"NoAddress":  {why: "the key is required", data: map[string]string{"provider": "generic"}, wantErr: "key address is missing"},
		"Plain":      {why: "anybody on the way could read the token", data: map[string]string{"provider": "generic", "address": "http://there"}, wantErr: "only sent by https"},
		"User":       {why: "a password in an address would show", data: map[string]string{"provider": "generic", "address": "https://me:pass@there"}, wantErr: "not an address"},
		"CA":         {why: "no certificate would mean those of the system", data: map[string]string{"provider": "generic", "address": "https://there", "ca.crt": "x"}, wantErr: "ca.crt holds no certificate"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parseWorkload(tc.data, tc.standard)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) || strings.Contains(err.Error(), "pass@") {
					t.Errorf("%s: %v, want %q", tc.why, err, tc.wantErr)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("%s: %v\n%s", tc.why, err, diff)
			}
		})
	}
}

func FuzzParseWorkload(f *testing.F) {
	f.Add("https://there:6443", "- a\n- b", "deployer")
	f.Add("[::1]:6443", "a\nb", "x")
	f.Fuzz(func(t *testing.T, address, audiences, account string) {
		got, err := parseWorkload(map[string]string{"provider": "generic", "address": address, "audiences": audiences, "serviceAccountName": account}, "")
		if err == nil && (!strings.HasPrefix(got.Address, "https://") || got.Account.Name == "" || len(got.Account.Audiences) == 0) {
			t.Errorf("what is accepted is complete: %+v", got)
		}
	})
}

// TestCloud: a unit's account reaches a cluster at a provider, and units without an account do not reach it as us.
func TestCloud(t *testing.T) {
	world := identitytest.New(t)
	world.Account("web", "deployer", identitytest.Everybody())
	there := workload{Provider: "gcp", Cluster: "projects/p/locations/l/clusters/c", Account: kube.Account{Namespace: "web", Name: "deployer"}}
	config, err := there.config(t.Context(), world.Home, world.Source(identity.Options{}))
	if err != nil || config.Host != world.Cloud.URL {
		t.Fatalf("got %+v, %v", config, err)
	}
	if cluster, err := kube.Connect("", config, kube.Options{}); err != nil {
		t.Error(err)
	} else if _, err := cluster.ReadAccount(t.Context(), "a", "b"); err != nil || world.Seen()[0] != "google of web.deployer" {
		t.Errorf("it was shown %q, %v", world.Seen(), err)
	}
	nobody := there
	nobody.Account.Name = ""
	if _, err := nobody.config(t.Context(), world.Home, world.Source(identity.Options{})); !errors.Is(err, identity.ErrNoAccount) {
		t.Errorf("nobody is us: %v", err)
	}
	if there.digest() == nobody.digest() {
		t.Error("connections of two accounts are taken for one")
	}
}
