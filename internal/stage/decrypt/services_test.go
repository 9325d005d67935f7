package decrypt_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/getsops/sops/v3/azkv"
	"github.com/getsops/sops/v3/gcpkms"
	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/kms"
	"golang.org/x/oauth2"

	"holdfast.dev/holdfast/internal/model/sealed"
	"holdfast.dev/holdfast/internal/stage/decrypt"
	services "holdfast.dev/holdfast/internal/stage/decrypt/kms"
	"holdfast.dev/holdfast/internal/stage/decrypt/sopstest"
)

// service is a key service on this machine, which speaks the protocol of a real one. Its encryption is
// base64 with a prefix: what matters is who asks for what.
type service struct {
	*httptest.Server
	status atomic.Int32 // answered instead of what was asked for
	asked  atomic.Int32
}

const wrapped = "wrapped:"

func wrap(plain []byte) []byte { return []byte(wrapped + base64.StdEncoding.EncodeToString(plain)) }

func unwrap(t *testing.T, ciphertext []byte) []byte {
	plain, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(ciphertext), wrapped))
	if err != nil {
		t.Errorf("asked to open %q", ciphertext)
	}
	return plain
}

func serve(t *testing.T, start func(http.Handler) *httptest.Server, answer func(w http.ResponseWriter, r *http.Request, body map[string]any)) *service {
	t.Helper()
	s := &service{}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		body := map[string]any{}
		_ = json.NewDecoder(r.Body).Decode(&body)
		if status := int(s.status.Load()); status != 0 {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"errors":["canary"],"__type":"AccessDeniedException","message":"canary","error":{"code":"Forbidden","message":"canary"}}`))
			return
		}
		answer(w, r, body)
	})
	s.Server = start(handler)
	t.Cleanup(s.Close)
	return s
}

func reply(w http.ResponseWriter, body map[string]any) { _ = json.NewEncoder(w).Encode(body) }

func text(body map[string]any, name string) string { value, _ := body[name].(string); return value }

// cloud is a key service, a key of it to encrypt for, and the credentials to open with.
type cloud struct {
	service *service
	key     sopstest.Key
	name    string
	secret  string
	reach   services.Reach
}

func vault(t *testing.T) cloud {
	const token = "vault-token-of-the-unit"
	s := serve(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		switch {
		case r.Header.Get("X-Vault-Token") != token:
			w.WriteHeader(http.StatusForbidden)
		case strings.HasSuffix(r.URL.Path, "/v1/sops/encrypt/web"):
			plain, _ := base64.StdEncoding.DecodeString(text(body, "plaintext"))
			reply(w, map[string]any{"data": map[string]any{"ciphertext": "vault:v1:" + base64.StdEncoding.EncodeToString(plain)}})
		case strings.HasSuffix(r.URL.Path, "/v1/sops/decrypt/web"):
			reply(w, map[string]any{"data": map[string]any{"plaintext": strings.TrimPrefix(text(body, "ciphertext"), "vault:v1:")}})
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	return cloud{service: s, name: "sops.vault-token", secret: token + "\n", reach: services.Reach{Vaults: []string{s.URL}}, key: sopstest.Key{
		Master: func() keys.MasterKey {
			key := hcvault.NewMasterKey(s.URL, "sops", "web")
			hcvault.Token(token).ApplyToMasterKey(key)
			return key
		},
	}}
}

func amazon(t *testing.T) cloud {
	const arn = "arn:aws:kms:eu-central-1:111122223333:key/web"
	s := serve(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		if !strings.Contains(r.Header.Get("Authorization"), "Credential=unit-id/") || text(body, "KeyId") != arn {
			t.Errorf("%s asks for %v", r.Header.Get("Authorization"), body["KeyId"])
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".Encrypt") {
			plain, _ := base64.StdEncoding.DecodeString(text(body, "Plaintext"))
			reply(w, map[string]any{"KeyId": arn, "CiphertextBlob": wrap(plain)})
			return
		}
		blob, _ := base64.StdEncoding.DecodeString(text(body, "CiphertextBlob"))
		reply(w, map[string]any{"KeyId": arn, "Plaintext": unwrap(t, blob)})
	})
	t.Setenv("AWS_ENDPOINT_URL_KMS", s.URL) // for SOPS, which encrypts
	return cloud{
		service: s, name: "sops.aws-kms", secret: "aws_access_key_id: unit-id\naws_secret_access_key: unit-secret\n", reach: services.Reach{AWS: s.URL},
		key: sopstest.Key{Master: func() keys.MasterKey {
			key := kms.NewMasterKeyFromArn(arn, nil, "")
			kms.NewCredentialsProvider(credentials.NewStaticCredentialsProvider("unit-id", "unit-secret", "")).ApplyToMasterKey(key)
			return key
		}},
	}
}

func google(t *testing.T) cloud {
	const resource = "projects/p/locations/l/keyRings/r/cryptoKeys/web"
	s := serve(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/token":
			reply(w, map[string]any{"access_token": "unit-token", "token_type": "Bearer", "expires_in": 3600})
		case r.Header.Get("Authorization") != "Bearer unit-token":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/v1/"+resource+":encrypt":
			plain, _ := base64.StdEncoding.DecodeString(text(body, "plaintext"))
			reply(w, map[string]any{"name": resource, "ciphertext": wrap(plain)})
		case r.URL.Path == "/v1/"+resource+":decrypt":
			blob, _ := base64.StdEncoding.DecodeString(text(body, "ciphertext"))
			reply(w, map[string]any{"plaintext": unwrap(t, blob)})
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	account, _ := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "unit@p.example.org", "token_uri": s.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})),
	})
	t.Setenv("SOPS_GCP_KMS_CLIENT_TYPE", "rest")
	t.Setenv("SOPS_GCP_KMS_ENDPOINT", s.URL)
	return cloud{service: s, name: "sops.gcp-kms", secret: string(account), reach: services.Reach{Google: s.URL}, key: sopstest.Key{Master: func() keys.MasterKey {
		key := gcpkms.NewMasterKeyFromResourceID(resource)
		gcpkms.NewTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "unit-token"})).ApplyToMasterKey(key)
		return key
	}}}
}

// staticToken is a credential of Azure.
type staticToken string

func (s staticToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(s), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func microsoft(t *testing.T) cloud {
	const tenant = "11111111-2222-3333-4444-555555555555"
	var s *service
	s = serve(t, httptest.NewTLSServer, func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
			reply(w, map[string]any{"issuer": s.URL + "/" + tenant + "/v2.0", "authorization_endpoint": s.URL + "/authorize", "token_endpoint": s.URL + "/" + tenant + "/oauth2/v2.0/token"})
		case strings.HasSuffix(r.URL.Path, "/token"):
			reply(w, map[string]any{"access_token": "unit-token", "token_type": "Bearer", "expires_in": 3600})
		case r.Header.Get("Authorization") != "Bearer unit-token":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization="%s/%s", resource="https://vault.azure.net"`, s.URL, tenant))
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasSuffix(r.URL.Path, "/keys/web/1/encrypt"):
			plain, _ := base64.RawURLEncoding.DecodeString(text(body, "value"))
			reply(w, map[string]any{"kid": s.URL + "/keys/web/1", "value": base64.RawURLEncoding.EncodeToString(wrap(plain))})
		case strings.HasSuffix(r.URL.Path, "/keys/web/1/decrypt"):
			blob, _ := base64.RawURLEncoding.DecodeString(text(body, "value"))
			reply(w, map[string]any{"kid": s.URL + "/keys/web/1", "value": base64.RawURLEncoding.EncodeToString(unwrap(t, blob))})
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	secret := "tenantId: " + tenant + "\nclientId: 66666666-2222-3333-4444-555555555555\nclientSecret: hunter2\nauthorityHost: " + s.URL + "\n"
	return cloud{service: s, name: "sops.azure-kv", secret: secret, reach: services.Reach{Client: s.Client()}, key: sopstest.Key{Master: func() keys.MasterKey {
		key := azkv.NewMasterKey(s.URL, "web", "1")
		azkv.NewTokenCredential(staticToken("unit-token")).ApplyToMasterKey(key)
		azkv.NewClientOptions(&azkeys.ClientOptions{
			ClientOptions: policy.ClientOptions{Transport: s.Client()}, DisableChallengeResourceVerification: true,
		}).ApplyToMasterKey(key)
		return key
	}}}
}

// TestKeyServices: what SOPS encrypts with a key service opens with the unit's credentials, and with
// nothing of the process.
func TestKeyServices(t *testing.T) {
	for name, start := range map[string]func(*testing.T) cloud{"Vault": vault, "AWS": amazon, "Google": google, "Azure": microsoft} {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			file := sopstest.Encrypt(t, sopstest.File{Format: sealed.Dotenv, Plain: "token=canary\n", For: []sopstest.Key{c.key}})
			for variable, value := range map[string]string{
				"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "of-the-process", "AWS_ENDPOINT_URL_KMS": "http://127.0.0.1:1",
				"AWS_ACCESS_KEY_ID": "of-the-process", "AWS_SECRET_ACCESS_KEY": "x", "SOPS_GCP_KMS_ENDPOINT": "http://127.0.0.1:1", "AZURE_CLIENT_ID": "of-the-process",
			} {
				t.Setenv(variable, value)
			}
			open := func(data map[string][]byte) (sealed.Plain, error) {
				ring, err := decrypt.NewKeyring(decrypt.Keys{Origin: "Secret web/keys", Data: data}, decrypt.Options{Reach: c.reach})
				if err != nil {
					t.Fatal(err)
				}
				return ring.Open(context.Background(), sealed.Box{Path: "a.env", Data: []byte(file), In: sealed.Dotenv, Out: sealed.Dotenv})
			}
			credentials := map[string][]byte{c.name: []byte(c.secret)}
			plain, err := open(credentials)
			if err != nil || string(plain.Data.Reveal()) != "token=canary\n" {
				t.Fatalf("with credentials: %v", err)
			}
			asked := c.service.asked.Load()
			_, err = open(nil)
			expect(t, err, decrypt.NoKey, c.name, "spec.decryption.serviceAccountName")
			if c.service.asked.Load() != asked {
				t.Error("without credentials of the unit, somebody else's were tried")
			}
			c.service.status.Store(http.StatusForbidden)
			_, err = open(credentials)
			expect(t, err, decrypt.Refused, "refuse")
			c.service.Close()
			_, err = open(credentials)
			expect(t, err, decrypt.Unavailable, "could not be asked")
		})
	}
}

func expect(t *testing.T, err error, cause decrypt.Cause, says ...string) {
	t.Helper()
	var told *decrypt.Error
	if !errors.As(err, &told) || told.Cause != cause {
		t.Fatalf("cause is not %d: %v", cause, err)
	}
	for _, one := range append(says, "a.env") {
		if !strings.Contains(err.Error(), one) {
			t.Errorf("%q does not say %q", err, one)
		}
	}
	for _, secret := range []string{"canary", "hunter2", "unit-secret", "vault-token-of-the-unit"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q shows %q", err, secret)
		}
	}
}

// TestVaultsAreLimited: a file names its Vault, and must not be able to name anything else.
func TestVaultsAreLimited(t *testing.T) {
	c := vault(t)
	file := sopstest.Encrypt(t, sopstest.File{Format: sealed.Dotenv, Plain: "token=canary\n", For: []sopstest.Key{c.key}})
	cases := map[string]struct {
		why, file string
		reach     services.Reach
		says      string
	}{
		"Loopback":   {why: "services of this machine trust it", file: file, says: "on this machine or its link"},
		"Unlisted":   {why: "the operator listed others", file: file, reach: services.Reach{Vaults: []string{"https://vault.example.org"}}, says: "not among those"},
		"Climbing":   {why: "a path to another function of the Vault", file: strings.Replace(file, "engine_path=sops", "engine_path=../sys", 1), reach: c.reach, says: "path of its key is invalid"},
		"OtherThing": {why: "no address of a Vault", file: strings.ReplaceAll(file, c.service.URL, "file:///etc/passwd"), reach: c.reach, says: "address is invalid"},
		"Password":   {why: "an address with a password is somebody's trick", file: strings.ReplaceAll(file, "http://", "http://user:hunter2@"), reach: c.reach, says: "address is invalid"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ring, err := decrypt.NewKeyring(decrypt.Keys{Origin: "S", Data: map[string][]byte{c.name: []byte(c.secret)}}, decrypt.Options{Reach: tc.reach})
			if err != nil {
				t.Fatal(err)
			}
			before := c.service.asked.Load()
			_, err = ring.Open(context.Background(), sealed.Box{Path: "a.env", Data: []byte(tc.file), In: sealed.Dotenv, Out: sealed.Dotenv})
			if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v", tc.why, err)
			}
			if c.service.asked.Load() != before {
				t.Errorf("%s: it was asked", tc.why)
			}
		})
	}
}
