package send_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/record/alert/send"
	"holdfast.dev/holdfast/internal/record/event"
)

// others adds the providers that more than one request is needed for.
func others(t *testing.T, all map[string]send.Target) map[string]send.Target {
	t.Helper()
	maps.Copy(all, map[string]send.Target{
		"githubpullrequestcomment":  {Address: "/acme/platform", Token: "canary-token"},
		"gitlabmergerequestcomment": {Address: "/acme/team/platform", Token: "canary-token"},
		"giteapullrequestcomment":   {Address: "/acme/platform", Token: "canary-token"},
		"googlepubsub":              {Address: "project", Channel: "topic", Token: "canary-token"},
		"azureeventhub":             {Address: "hub", Channel: "namespace.invalid", Token: "canary-token"},
	})
	return all
}

// serviceAccount is the JSON key of an account whose tokens are at an address. It is made for the test.
func serviceAccount(t *testing.T, tokens string) redact.Text {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "alerts@project.iam.gserviceaccount.com", "private_key_id": "1", "token_uri": tokens,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return redact.Text(text)
}

// TestGooglePubSub: a message is published as the service account of the Secret.
func TestGooglePubSub(t *testing.T) {
	var published map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token" && r.FormValue("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token":"for-an-hour","token_type":"Bearer","expires_in":3600}`)
		case r.URL.Path == "/v1/projects/project/topics/topic:publish" && r.Header.Get("Authorization") == "Bearer for-an-hour":
			_ = json.NewDecoder(r.Body).Decode(&published)
			fmt.Fprint(w, `{"messageIds":["1"],"echo":"Bearer for-an-hour"}`)
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(server.Close)
	client := send.NewClient(send.Options{Loopback: true, PubSub: server.URL})
	target := send.Target{
		Type: "googlepubsub", Address: "project", Channel: "topic", Token: serviceAccount(t, server.URL+"/token"),
		Headers: map[string]redact.Text{"team": "blue"},
	}
	answer, err := client.Send(t.Context(), target, failed())
	if err != nil || strings.Contains(answer.Quote, "for-an-hour") {
		t.Fatalf("sending: %v, %+v", err, answer)
	}
	messages, _ := published["messages"].([]any)
	if len(messages) != 1 {
		t.Fatalf("published: %v", published)
	}
	message, _ := messages[0].(map[string]any)
	if diff := cmp.Diff(map[string]any{"team": "blue"}, message["attributes"]); diff != "" {
		t.Errorf("the attributes (-want +got):\n%s", diff)
	}
	data, _ := base64.StdEncoding.DecodeString(fmt.Sprint(message["data"]))
	if said, err := event.Decode(data); err != nil || said.Reason != "BuildFailed" {
		t.Errorf("the data is not the event: %s", data)
	}
	for what, c := range map[string]struct {
		token redact.Text
		kind  fault.Kind
	}{
		"an account that is refused":             {serviceAccount(t, server.URL+"/elsewhere"), fault.Transient},
		"a token of a forbidden place":           {serviceAccount(t, "http://169.254.169.254/token"), fault.Stalled},
		"a key that is none":                     {"canary", fault.Stalled},
		"a key of a sort that reads other files": {`{"type":"external_account","credential_source":{"file":"/canary"}}`, fault.Stalled},
	} {
		target.Token = c.token
		if _, err := client.Send(t.Context(), target, failed()); err == nil || fault.KindOf(err) != c.kind || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestAzureEventHub: a message is sent with a signature of the connection string's key, or with a token.
func TestAzureEventHub(t *testing.T) {
	var asked []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		said, err := event.Decode(body)
		asked = append(asked, fmt.Sprintf("%s %s %s %s %v", r.RequestURI, r.Header.Get("Content-Type"), r.Header.Get("Authorization"), said.Reason, err))
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, r.Header.Get("Authorization"))
	}))
	t.Cleanup(server.Close)
	trust := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	trust.RootCAs.AddCert(server.Certificate())
	host := strings.TrimPrefix(server.URL, "https://")
	client := send.NewClient(send.Options{Loopback: true, Now: func() time.Time { return time.Unix(1_000_000_000, 0) }})
	targets := []send.Target{
		{Address: redact.Text("Endpoint=sb://" + host + "/;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0LWtleQ==;EntityPath=hub")},
		{Address: "hub", Channel: host, Token: "canary-jwt"},
	}
	for _, target := range targets {
		target.Type, target.TLS = "azureeventhub", trust
		answer, err := client.Send(t.Context(), target, failed())
		if err != nil || answer.Status != "201 Created" || strings.Contains(answer.Quote, "sig=") || strings.Contains(answer.Quote, "canary") {
			t.Fatalf("sending: %v, %+v", err, answer)
		}
	}
	about := url.QueryEscape("https://" + host + "/hub")
	const prefix = "/hub/messages?timeout=60&api-version=2014-01 application/atom+xml;type=entry;charset=utf-8 "
	if !strings.HasPrefix(asked[0], prefix+"SharedAccessSignature sr="+about+"&sig=") || !strings.HasSuffix(asked[0], "&se=1000003600&skn=send BuildFailed <nil>") {
		t.Errorf("asked with a connection string: %s", asked[0])
	}
	if asked[1] != prefix+"Bearer canary-jwt BuildFailed <nil>" {
		t.Errorf("asked with a token: %s", asked[1])
	}
	for _, broken := range []redact.Text{"Endpoint=sb://x/;SharedAccessKeyName=send;SharedAccessKey=canary", "SharedAccessKey=canary"} {
		stalled(t, client, "an incomplete connection string", send.Target{Type: "azureeventhub", Address: broken})
	}
}
