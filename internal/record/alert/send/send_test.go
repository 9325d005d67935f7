package send_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/record/alert/send"
	"holdfast.dev/holdfast/internal/record/event"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

const commit = "731f7eaddfb6af01cb2173e18f0f75b0ba780ef1"

func failed() send.Message {
	return send.Message{Event: event.Event{
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Namespace: "apps", Name: "webapp", UID: "7d0cdc51-ddcf-4743-b223-83ca5c699632",
		},
		Severity: event.Error, Reason: "BuildFailed", Message: "reading <kustomization.yaml>: no such file",
		Timestamp:           metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
		Metadata:            map[string]string{"revision": "main@sha1:" + commit, "summary": "prod", "env": "eu"},
		ReportingController: "kustomize-controller", ReportingInstance: "host",
	}}
}

func mended() send.Message {
	m := failed()
	m.Severity, m.Reason, m.Event.Message, m.Recovery = event.Info, "ReconciliationSucceeded", "Recovered from BuildFailed: finished in 1s", true
	return m
}

// service is an HTTP server that writes down what it is asked.
type service struct {
	*httptest.Server
	lock  sync.Mutex
	asked []string
}

func serve(t *testing.T, answer http.HandlerFunc) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := dump(r)
		s.lock.Lock()
		s.asked = append(s.asked, text)
		s.lock.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// dump writes a request as people read it: the headers that we set, and the body indented.
func dump(r *http.Request) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s\n", r.Method, r.RequestURI)
	var names []string
	for name := range r.Header {
		if !slices.Contains([]string{"Accept-Encoding", "Content-Length", "Connection"}, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&text, "%s: %s\n", name, r.Header.Get(name))
	}
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Content-Type") == "application/x-protobuf" {
		var spans collector.ExportTraceServiceRequest
		if proto.Unmarshal(body, &spans) == nil {
			body, _ = protojson.Marshal(&spans)
		}
	}
	for _, line := range bytes.SplitAfter(body, []byte("\n")) {
		var indented bytes.Buffer
		if json.Indent(&indented, bytes.TrimSpace(line), "", "  ") == nil {
			line = indented.Bytes()
		}
		fmt.Fprintf(&text, "%s\n", line)
	}
	return text.String()
}

func ok(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"ok":true}`) }

// secret is a text that must never be seen outside of a request.
const secret = "canary-7f3a/9+b"

// targets are providers as people write them; the address is put below the server's.
func targets() map[string]send.Target {
	token := redact.Text("canary-token")
	of := func(path string) redact.Text { return redact.Text(path) }
	return map[string]send.Target{
		"generic":         {Address: of("/hook"), Headers: map[string]redact.Text{"X-Team": "blue"}},
		"generic-hmac":    {Address: of("/hook"), Token: token},
		"githubdispatch":  {Address: of("/acme/platform"), Token: token},
		"slack":           {Address: of("/api/chat.postMessage"), Token: token, Channel: "general"},
		"rocket":          {Address: of("/hooks/x"), Username: "flux"},
		"discord":         {Address: of("/api/webhooks/1/canary-path")},
		"msteams":         {Address: of("/workflows/zzz/invoke?sig=canary")},
		"googlechat":      {Address: of("/v1/spaces/x/messages?key=k")},
		"telegram":        {Address: of("/"), Token: token, Channel: "-100:7"},
		"matrix":          {Address: of("/"), Token: token, Channel: "!room:example.org"},
		"webex":           {Address: of("/v1/messages"), Token: token, Channel: "room"},
		"lark":            {Address: of("/open-apis/bot/v2/hook/x")},
		"zulip":           {Address: of("/"), Username: "bot@example.org", Password: token, Channel: "ops/flux"},
		"zoom":            {Address: of("/chat/webhooks/x"), Token: token},
		"mastodon":        {Address: of("/"), Token: token},
		"pagerduty":       {Address: of("/"), Channel: "routing-key"},
		"opsgenie":        {Address: of("/v2/alerts"), Token: token},
		"incidentio":      {Address: of("/v2/alert_events/http/x"), Token: token},
		"alertmanager":    {Address: of("/api/v2/alerts/"), Token: token},
		"grafana":         {Address: of("/api/annotations"), Username: "admin", Password: token},
		"datadog":         {Address: of("/"), Token: token},
		"otel":            {Address: of("/"), Username: "grafana", Password: token, Headers: map[string]redact.Text{"X-Scope-Orgid": "blue"}},
		"sentry":          {Address: of("/42"), Channel: "staging"},
		"github":          {Address: of("/acme/platform.git"), Token: token},
		"gitlab":          {Address: of("/acme/team/platform"), Token: token},
		"gitea":           {Address: of("/acme/platform"), Token: token},
		"bitbucket":       {Address: of("/acme/platform"), Token: "user:canary-token"},
		"bitbucketserver": {Address: of("/context/scm/acme/platform.git"), Token: token},
		"azuredevops":     {Address: of("/acme/project/_git/platform"), Token: token},
	}
}

// TestServices shows what each service is sent, as its documentation asks for it. The files in
// testdata are the requests; -update writes them anew.
func TestServices(t *testing.T) {
	client := send.NewClient(send.Options{Loopback: true})
	for name, target := range targets() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, ok)
			target.Type, target.UID = name, "a1b2c3d4-0000"
			base := server.URL
			if name == "sentry" {
				base = strings.Replace(base, "://", "://public-key@", 1)
			}
			target.Address = redact.Text(base) + target.Address
			var shown []string
			for _, message := range []send.Message{failed(), mended()} {
				if answer, err := client.Send(t.Context(), target, message); err != nil || answer.Status != "200 OK" {
					t.Fatalf("sending: %v, %+v", err, answer)
				}
				shown = append(shown, server.asked...)
				server.asked = nil
			}
			got := strings.ReplaceAll(strings.Join(shown, "\n"), server.URL, "http://service")
			file := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the requests differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVerdicts(t *testing.T) {
	cases := map[string]struct {
		why    string
		kind   string
		answer http.HandlerFunc
		want   fault.Kind
		after  time.Duration
		text   string
	}{
		"Busy":      {why: "a service may ask for patience", answer: status(429, "Retry-After", "17"), after: 17 * time.Second, text: "the service answered 429 Too Many Requests"},
		"Forever":   {why: "but not for ever", answer: status(503, "Retry-After", "999999"), after: time.Hour, text: "the service answered 503 Service Unavailable"},
		"Down":      {why: "a broken service is tried again", answer: status(500), text: "the service answered 500 Internal Server Error"},
		"Denied":    {why: "a person may mend the token, so it is tried again, slowly", answer: status(401), after: 5 * time.Minute, text: "the service answered 401 Unauthorized"},
		"Nonsense":  {why: "a message that is not understood will never be", answer: status(400), want: fault.Stalled, text: "the service answered 400 Bad Request"},
		"Slack":     {why: "Slack says with a 200 that it did not work", kind: "slack", answer: body(`{"ok":false,"error":"channel_not_found"}`), after: 5 * time.Minute, text: "the service did not take the message: channel_not_found"},
		"SlackBusy": {why: "and that it is busy", kind: "slack", answer: body(`{"ok":false,"error":"ratelimited"}`), text: "the service did not take the message: ratelimited"},
		"Lark":      {why: "so does Lark", kind: "lark", answer: body(`{"code":19024,"msg":"Key Words Not Found"}`), text: "the service did not take the message: Key Words Not Found"},
	}
	client := send.NewClient(send.Options{Loopback: true})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			server := serve(t, c.answer)
			target := send.Target{Type: "generic", Address: redact.Text(server.URL + "/x")}
			if c.kind != "" {
				target = targets()[c.kind]
				target.Type, target.Address = c.kind, redact.Text(server.URL)+target.Address
			}
			_, err := client.Send(t.Context(), target, failed())
			if err == nil || err.Error() != c.text || fault.KindOf(err) != c.want || fault.AfterOf(err) != c.after {
				t.Errorf("%s: got %v, kind %d after %s", c.why, err, fault.KindOf(err), fault.AfterOf(err))
			}
		})
	}
	gitlab := targets()["gitlab"]
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(400)
		fmt.Fprint(w, `{"message":"Cannot transition status via :enqueue from :success"}`)
	})
	gitlab.Type, gitlab.Address = "gitlab", redact.Text(server.URL)+gitlab.Address
	if _, err := client.Send(t.Context(), gitlab, failed()); err != nil {
		t.Errorf("a status that is set already is no error: %v", err)
	}
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if len(header) > 0 {
			w.Header().Set(header[0], header[1])
		}
		w.WriteHeader(code)
	}
}

func body(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

func TestSkipped(t *testing.T) {
	progressing := failed()
	progressing.Severity, progressing.Reason = event.Info, event.Progressing
	server := serve(t, ok)
	client := send.NewClient(send.Options{Loopback: true})
	for _, name := range []string{"github", "gitlab", "gitea", "bitbucket", "bitbucketserver", "azuredevops", "pagerduty", "googlechat", "incidentio"} {
		target := targets()[name]
		target.Type, target.Address = name, redact.Text(server.URL)+target.Address
		answer, err := client.Send(t.Context(), target, progressing)
		if err != nil || answer.Skipped == "" {
			t.Errorf("%s: what is going on is neither good nor bad: %v", name, err)
		}
	}
	if len(server.asked) > 0 {
		t.Errorf("sent: %s", server.asked)
	}
}

func TestSettingsThatCannotWork(t *testing.T) {
	client := send.NewClient(send.Options{Loopback: true})
	client2 := send.NewClient(send.Options{})
	for name, target := range others(t, targets()) {
		target.Type, target.Address = name, ""
		if name != "telegram" { // it has an address of its own
			stalled(t, client, name+" without an address", target)
		}
		target.Address = "canary://%zz"
		if name != "azureeventhub" { // it is the name of a hub
			stalled(t, client, name+" with a broken address", target)
		}
		if target.Token != "" && name != "azureeventhub" && name != "alertmanager" && name != "slack" && name != "bitbucketserver" {
			target.Address, target.Token = "https://example.invalid/acme/platform", ""
			stalled(t, client2, name+" without a token", target)
		}
	}
	stalled(t, client, "an unknown type", send.Target{Type: "pigeon", Address: "https://example.invalid"})
	noCommit := failed()
	noCommit.Metadata = map[string]string{"revision": "sha256:0123456789abcdef"}
	github := targets()["github"]
	github.Type, github.Address = "github", "https://github.com/acme/platform"
	if _, err := client.Send(t.Context(), github, noCommit); fault.KindOf(err) != fault.Stalled {
		t.Errorf("an artifact's digest is no commit: %v", err)
	}
}

func stalled(t *testing.T, client *send.Client, what string, target send.Target) {
	t.Helper()
	_, err := client.Send(t.Context(), target, failed())
	if fault.KindOf(err) != fault.Stalled || strings.Contains(fmt.Sprint(err), "canary") {
		t.Errorf("%s: got %v", what, err)
	}
}

// TestForbiddenAddresses: nobody can have us talk to what only this machine or its cloud can reach.
func TestForbiddenAddresses(t *testing.T) {
	reached := false
	server := serve(t, func(http.ResponseWriter, *http.Request) { reached = true })
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	strict := send.NewClient(send.Options{})
	for _, host := range []string{
		"127.0.0.1", "localhost", "x.localhost", "[::1]", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "2130706433",
		"169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16", "metadata.google.internal", "METADATA.", "[::ffff:169.254.169.254]", "224.0.0.1",
	} {
		for _, kind := range []string{"generic", "nats"} {
			scheme := map[string]string{"generic": "http://", "nats": "nats://"}[kind]
			target := send.Target{Type: kind, Address: redact.Text(scheme + host + port), Channel: "x", Timeout: 3 * time.Second}
			if _, err := strict.Send(t.Context(), target, failed()); err == nil {
				t.Errorf("%s: a message to %s was sent", kind, host)
			}
		}
		proxied := send.Target{Type: "generic", Address: redact.Text("http://" + host + port), Proxy: redact.Text(server.URL)}
		if _, err := strict.Send(t.Context(), proxied, failed()); err == nil {
			t.Errorf("a message to %s was sent by a proxy", host)
		}
	}
	loose := send.NewClient(send.Options{Loopback: true})
	for _, host := range []string{"169.254.169.254", "0.0.0.0", "[fe80::1]"} {
		target := send.Target{Type: "generic", Address: redact.Text("http://" + host + port)}
		if _, err := loose.Send(t.Context(), target, failed()); fault.KindOf(err) != fault.Stalled {
			t.Errorf("%s: loopback alone is what may be allowed: %v", host, err)
		}
	}
	if reached {
		t.Error("a request arrived")
	}
}

func TestRedirects(t *testing.T) {
	thief := serve(t, ok)
	var home *service
	home = serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, thief.URL+"/x", http.StatusTemporaryRedirect)
		case "/moved":
			http.Redirect(w, r, home.URL+"/there", http.StatusPermanentRedirect)
		case "/lost":
			http.Redirect(w, r, home.URL+"/there", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, home.URL+"/loop", http.StatusTemporaryRedirect)
		}
	})
	client := send.NewClient(send.Options{Loopback: true})
	for path, good := range map[string]bool{"/away": false, "/moved": true, "/lost": false, "/loop": false} {
		target := send.Target{Type: "generic-hmac", Address: redact.Text(home.URL + path), Token: secret, Headers: map[string]redact.Text{"X-Key": secret}}
		if _, err := client.Send(t.Context(), target, failed()); (err == nil) != good {
			t.Errorf("%s: %v", path, err)
		}
	}
	if len(thief.asked) > 0 {
		t.Errorf("another host was told: %s", thief.asked)
	}
}

// TestSecretsStayInside: whatever a service answers and however sending fails, neither the answer nor
// the error shows what is secret.
func TestSecretsStayInside(t *testing.T) {
	echo := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		w.WriteHeader(418)
		fmt.Fprintf(w, `{"error":"%s %s %s","url":"%s","auth":"%s"}`, secret, url.QueryEscape(secret), url.PathEscape(secret), r.RequestURI, r.Header.Get("Authorization"))
	})
	client := send.NewClient(send.Options{Loopback: true})
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, target := range others(t, targets()) {
		for _, base := range []string{echo.URL, gone.URL, "https://canary-7f3a.invalid", "http://[::1", "canary-7f3a://x"} {
			target.Type, target.AddressIsSecret, target.Timeout = name, true, 3*time.Second
			target.Address = redact.Text(base + "/acme/scm/" + url.PathEscape(secret) + "/_git?q=" + url.QueryEscape(secret))
			target.Token, target.Password = secret, secret
			target.Headers = map[string]redact.Text{"X-Key": secret}
			answer, err := client.Send(t.Context(), target, failed())
			if shown := fmt.Sprintf("%v %+v %#v", err, answer, target); strings.Contains(shown, "canary") {
				t.Errorf("%s to %s shows %s", name, base, shown)
			}
			var failure *url.Error
			if errors.As(err, &failure) {
				t.Errorf("%s: the error still holds the URL", name)
			}
		}
	}
}

func TestTimeout(t *testing.T) {
	hold := make(chan struct{})
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	})
	defer close(hold)
	client := send.NewClient(send.Options{Loopback: true})
	_, err := client.Send(context.Background(), send.Target{Type: "generic", Address: redact.Text(server.URL), Timeout: 50 * time.Millisecond}, failed())
	if err == nil || fault.KindOf(err) != fault.Transient || err.Error() != "the service did not answer in time" {
		t.Errorf("a silent service: %v", err)
	}
}
