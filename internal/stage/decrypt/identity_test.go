package decrypt_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getsops/sops/v3/azkv"
	"github.com/getsops/sops/v3/gcpkms"
	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/kms"
	"golang.org/x/oauth2"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/kube/identity/identitytest"
	"holdfast.dev/holdfast/internal/model/sealed"
	"holdfast.dev/holdfast/internal/stage/decrypt"
	services "holdfast.dev/holdfast/internal/stage/decrypt/kms"
	"holdfast.dev/holdfast/internal/stage/decrypt/sopstest"
)

// trusting is a key service that opens for whoever web/robot is to its provider, and for whoever encrypts.
type trusting struct {
	*service
	key    sopstest.Key
	reach  services.Reach
	vaults map[string]string
}

const writer = "the-writer"

// believes tells whether a request is by the unit's account or by the writer.
func believes(t *testing.T, r *http.Request, unit string) bool {
	shown := r.Header.Get("Authorization") + r.Header.Get("X-Vault-Token")
	if !strings.Contains(shown, unit) && !strings.Contains(shown, writer) {
		t.Errorf("somebody asks as %q", shown)
		return false
	}
	return true
}

func trustingAmazon(t *testing.T) trusting {
	const arn = "arn:aws:kms:eu-central-1:111122223333:key/web"
	s := serve(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		believes(t, r, "Credential=AKIAweb.robot/")
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".Encrypt") {
			plain, _ := base64.StdEncoding.DecodeString(text(body, "Plaintext"))
			reply(w, map[string]any{"KeyId": arn, "CiphertextBlob": wrap(plain)})
			return
		}
		if !strings.Contains(r.Header.Get("X-Amz-Security-Token"), "role/unit") {
			t.Error("the role of the account is not taken over")
		}
		blob, _ := base64.StdEncoding.DecodeString(text(body, "CiphertextBlob"))
		reply(w, map[string]any{"KeyId": arn, "Plaintext": unwrap(t, blob)})
	})
	t.Setenv("AWS_ENDPOINT_URL_KMS", s.URL)
	return trusting{service: s, reach: services.Reach{AWS: s.URL}, key: sopstest.Key{Master: func() keys.MasterKey {
		key := kms.NewMasterKeyFromArn(arn, nil, "")
		kms.NewCredentialsProvider(credentials.NewStaticCredentialsProvider(writer, "x", "")).ApplyToMasterKey(key)
		return key
	}}}
}

func trustingGoogle(t *testing.T) trusting {
	const resource = "projects/p/locations/global/keyRings/r/cryptoKeys/web"
	s := serve(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		believes(t, r, "google of web.robot")
		if strings.HasSuffix(r.URL.Path, ":encrypt") {
			plain, _ := base64.StdEncoding.DecodeString(text(body, "plaintext"))
			reply(w, map[string]any{"name": resource, "ciphertext": wrap(plain)})
			return
		}
		blob, _ := base64.StdEncoding.DecodeString(text(body, "ciphertext"))
		reply(w, map[string]any{"plaintext": unwrap(t, blob)})
	})
	t.Setenv("SOPS_GCP_KMS_CLIENT_TYPE", "rest")
	t.Setenv("SOPS_GCP_KMS_ENDPOINT", s.URL)
	return trusting{service: s, reach: services.Reach{Google: s.URL}, key: sopstest.Key{Master: func() keys.MasterKey {
		key := gcpkms.NewMasterKeyFromResourceID(resource)
		gcpkms.NewTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: writer})).ApplyToMasterKey(key)
		return key
	}}}
}

func trustingMicrosoft(t *testing.T) trusting {
	var s *service
	s = serve(t, httptest.NewTLSServer, func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("Authorization") == "" { // whatever a vault says it wants, the token is for vaults
			w.Header().Set("WWW-Authenticate", `Bearer authorization="`+s.URL+"/"+identitytest.Tenant+`", resource="https://management.azure.com"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		believes(t, r, "azure of web.robot for https://vault.azure.net/.default")
		if strings.HasSuffix(r.URL.Path, "/encrypt") {
			plain, _ := base64.RawURLEncoding.DecodeString(text(body, "value"))
			reply(w, map[string]any{"kid": s.URL + "/keys/web/1", "value": base64.RawURLEncoding.EncodeToString(wrap(plain))})
			return
		}
		blob, _ := base64.RawURLEncoding.DecodeString(text(body, "value"))
		reply(w, map[string]any{"kid": s.URL + "/keys/web/1", "value": base64.RawURLEncoding.EncodeToString(unwrap(t, blob))})
	})
	return trusting{service: s, reach: services.Reach{Client: s.Client()}, key: sopstest.Key{Master: func() keys.MasterKey {
		key := azkv.NewMasterKey(s.URL, "web", "1")
		azkv.NewTokenCredential(staticToken(writer)).ApplyToMasterKey(key)
		azkv.NewClientOptions(&azkeys.ClientOptions{
			ClientOptions: policy.ClientOptions{Transport: s.Client()}, DisableChallengeResourceVerification: true,
		}).ApplyToMasterKey(key)
		return key
	}}}
}

func trustingVault(t *testing.T) trusting {
	var s *service
	s = serve(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		switch {
		case r.URL.Path == "/v1/team/auth/kubernetes/login":
			if text(body, "role") != "web_robot" || text(body, "jwt") != identitytest.Canary+"|web|robot|"+s.URL {
				t.Errorf("a login as %q with %q", text(body, "role"), text(body, "jwt"))
			}
			reply(w, map[string]any{"auth": map[string]any{"client_token": "vault of web.robot", "lease_duration": 3600}})
		case !believes(t, r, "vault of web.robot"):
			w.WriteHeader(http.StatusForbidden)
		case strings.HasSuffix(r.URL.Path, "/v1/sops/encrypt/web"):
			plain, _ := base64.StdEncoding.DecodeString(text(body, "plaintext"))
			reply(w, map[string]any{"data": map[string]any{"ciphertext": "vault:v1:" + base64.StdEncoding.EncodeToString(plain)}})
		default:
			reply(w, map[string]any{"data": map[string]any{"plaintext": strings.TrimPrefix(text(body, "ciphertext"), "vault:v1:")}})
		}
	})
	config, _ := json.Marshal(map[string]any{"instances": []any{map[string]any{"address": s.URL, "loginPath": "team/auth/kubernetes/login"}}})
	vaults, err := services.ParseVaults(config)
	if err != nil {
		t.Fatal(err)
	}
	return trusting{service: s, vaults: vaults, key: sopstest.Key{Master: func() keys.MasterKey {
		key := hcvault.NewMasterKey(s.URL, "sops", "web")
		hcvault.Token(writer).ApplyToMasterKey(key)
		return key
	}}}
}

// TestIdentities: a file opens for the account that a unit names, without any key in the cluster, and for no
// other account.
func TestIdentities(t *testing.T) {
	for name, make := range map[string]func(*testing.T) trusting{
		"AWS": trustingAmazon, "Google": trustingGoogle, "Azure": trustingMicrosoft, "Vault": trustingVault,
	} {
		t.Run(name, func(t *testing.T) {
			world := identitytest.New(t)
			world.Account("web", "robot", identitytest.Everybody())
			source := world.Source(identity.Options{})
			c := make(t)
			file := sopstest.Encrypt(t, sopstest.File{Format: sealed.Dotenv, Plain: "token=canary\n", For: []sopstest.Key{c.key}})
			ring := func(name string) *decrypt.Keyring {
				ring, err := decrypt.NewKeyring(decrypt.Keys{Holder: source.Of(identity.Account{Namespace: "web", Name: name}), Vaults: c.vaults}, decrypt.Options{Reach: c.reach})
				if err != nil {
					t.Fatal(err)
				}
				return ring
			}
			open := func(ring *decrypt.Keyring) (sealed.Plain, error) {
				return ring.Open(t.Context(), sealed.Box{Path: "a.env", Data: []byte(file), In: sealed.Dotenv, Out: sealed.Dotenv})
			}
			robot := ring("robot")
			for range 3 {
				if plain, err := open(robot); err != nil || string(plain.Data.Reveal()) != "token=canary\n" {
					t.Fatalf("as its account: %v", err)
				}
			}
			if world.Asked("token") != 1 {
				t.Errorf("%d tokens were asked for: one would do", world.Asked("token"))
			}
			asked := c.asked.Load()
			_, err := open(ring("absent"))
			expect(t, err, decrypt.Refused, "ServiceAccount web/absent", "not found")
			_, err = open(ring(""))
			expect(t, err, decrypt.NoKey, "spec.decryption.serviceAccountName")
			if c.asked.Load() != asked {
				t.Error("it was asked as somebody else")
			}
			if ring("robot").Keys() == ring("absent").Keys() || ring("robot").Keys() != robot.Keys() {
				t.Error("what two accounts open is taken for the same")
			}
			c.status.Store(http.StatusForbidden)
			_, err = open(robot)
			expect(t, err, decrypt.Refused, "refuse")
			c.status.Store(0)
			if _, err := open(robot); err != nil {
				t.Errorf("a refusal that is over: %v", err)
			}
			world.Cloud.Close()
			c.Close()
			_, err = open(ring("robot"))
			expect(t, err, decrypt.Unavailable, "could not be asked")
		})
	}
}

// TestIdentityIsNotSentAnywhere: a file names its vault, and must not get a token of the unit's account by that.
func TestIdentityIsNotSentAnywhere(t *testing.T) {
	world := identitytest.New(t)
	world.Account("web", "robot", identitytest.Everybody())
	holder := world.Source(identity.Options{}).Of(identity.Account{Namespace: "web", Name: "robot"})
	azure, vault := trustingMicrosoft(t), trustingVault(t)
	for name, tc := range map[string]struct {
		why    string
		key    sopstest.Key
		vaults map[string]string
		cause  decrypt.Cause
		says   string
	}{
		"Azure":        {why: "its address is none of Azure's", key: azure.key, cause: decrypt.Refused, says: "none of Azure's"},
		"Vault":        {why: "the operator lists others", key: vault.key, vaults: map[string]string{"https://vault.example.org": "auth/kubernetes/login"}, cause: decrypt.Refused, says: "not among the Vaults"},
		"VaultNowhere": {why: "the operator lists none", key: vault.key, cause: decrypt.NoKey, says: "--sops-vault-configmap"},
	} {
		t.Run(name, func(t *testing.T) {
			file := sopstest.Encrypt(t, sopstest.File{Format: sealed.Dotenv, Plain: "token=canary\n", For: []sopstest.Key{tc.key}})
			ring, err := decrypt.NewKeyring(decrypt.Keys{Holder: holder, Vaults: tc.vaults}, decrypt.Options{})
			if err != nil {
				t.Fatal(err)
			}
			asked := azure.asked.Load() + vault.asked.Load()
			_, err = ring.Open(t.Context(), sealed.Box{Path: "a.env", Data: []byte(file), In: sealed.Dotenv, Out: sealed.Dotenv})
			expect(t, err, tc.cause, tc.says)
			if azure.asked.Load()+vault.asked.Load() != asked {
				t.Errorf("%s: it was asked", tc.why)
			}
		})
	}
}

func TestParseVaults(t *testing.T) {
	for name, tc := range map[string]struct{ why, in, want string }{
		"Flux":      {why: "as Flux documents it", in: "instances:\n- address: https://vault.example.org:8200/\n  loginPath: /ns1/auth/kubernetes/login\n", want: "ns1/auth/kubernetes/login"},
		"NoAddress": {why: "an address is needed", in: "instances:\n- loginPath: auth/kubernetes/login\n"},
		"User":      {why: "a password would show", in: "instances:\n- address: https://a:b@vault.example.org:8200\n  loginPath: auth/kubernetes/login\n"},
		"NoPath":    {why: "a path is needed", in: "instances:\n- address: https://vault.example.org:8200\n"},
		"Climbing":  {why: "a path leads to a login", in: "instances:\n- address: https://vault.example.org:8200\n  loginPath: auth/../sys\n"},
		"NoList":    {why: "it is something else", in: "- a\n"},
	} {
		got, err := services.ParseVaults([]byte(tc.in))
		if (err == nil) != (tc.want != "") || got["https://vault.example.org:8200"] != tc.want {
			t.Errorf("%s: %s: got %v, %v", name, tc.why, got, err)
		}
	}
}

func FuzzParseVaults(f *testing.F) {
	f.Add("instances:\n- address: https://vault.example.org:8200\n  loginPath: auth/kubernetes/login\n")
	f.Fuzz(func(t *testing.T, text string) {
		vaults, err := services.ParseVaults([]byte(text))
		for address, path := range vaults {
			if err == nil && (!strings.HasPrefix(address, "http") || path == "" || strings.Contains("/"+path+"/", "/../")) {
				t.Errorf("%q by %q", address, path)
			}
		}
	})
}
