package receiver_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/hook/receiver"
	"holdfast.dev/holdfast/internal/model/object"
)

// token is the secret of all receivers in these tests.
const token = "canary-token"

// shelf is a cluster with some resources. It remembers who was asked.
type shelf struct {
	lock  sync.Mutex
	there []*metav1.PartialObjectMetadata
	asked []string
	fails error
}

func (s *shelf) List(_ context.Context, ref object.Ref, labels map[string]string) ([]*metav1.PartialObjectMetadata, error) {
	var found []*metav1.PartialObjectMetadata
	for _, one := range s.there {
		fits := one.Kind == ref.Kind && one.Namespace == ref.Namespace && (ref.Name == "" || ref.Name == one.Name)
		for key, value := range labels {
			fits = fits && one.Labels[key] == value
		}
		if fits {
			found = append(found, one)
		}
	}
	if ref.Name != "" && len(found) == 0 {
		return nil, fmt.Errorf("%s is not there", ref)
	}
	return found, nil
}

func (s *shelf) Ask(_ context.Context, ref object.Ref, stamp string) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	if stamp == "" {
		return errors.New("no stamp")
	}
	s.asked = append(s.asked, ref.String())
	return s.fails
}

func (s *shelf) all() []string {
	s.lock.Lock()
	defer s.lock.Unlock()
	slices.Sort(s.asked)
	return s.asked
}

// ready is a receiver that works, with its path.
func ready(kind string, changes ...func(*notificationv1.Receiver)) *notificationv1.Receiver {
	r := &notificationv1.Receiver{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: kind, UID: "1"},
		Spec: notificationv1.ReceiverSpec{
			Type: kind, SecretRef: &meta.LocalObjectReference{Name: "token"}, Resources: []notificationv1.ReceiverResource{source("platform")},
		},
		Status: notificationv1.ReceiverStatus{WebhookPath: "/hook/abc", Conditions: []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue}}},
	}
	for _, change := range changes {
		change(r)
	}
	return r
}

func source(name string) notificationv1.ReceiverResource {
	return notificationv1.ReceiverResource{CrossNamespaceObjectReference: notificationv1.CrossNamespaceObjectReference{
		APIVersion: "source.toolkit.fluxcd.io/v1", Kind: "GitRepository", Name: name,
	}}
}

// bench is a handler with one receiver.
type bench struct {
	handler *receiver.Handler
	shelf   *shelf
	log     strings.Builder
}

func newBench(r *notificationv1.Receiver, changes ...func(*receiver.Deps)) *bench {
	b := &bench{shelf: &shelf{there: []*metav1.PartialObjectMetadata{
		resource("GitRepository", "apps", "platform", "a"), resource("GitRepository", "apps", "other", "b"),
		resource("GitRepository", "elsewhere", "platform", "a"),
	}}}
	deps := receiver.Deps{
		Find: func(_ context.Context, path string) (*notificationv1.Receiver, error) {
			if path != r.Status.WebhookPath {
				return nil, nil
			}
			return r, nil
		},
		Secret: func(context.Context, string, string) (map[string][]byte, error) {
			return map[string][]byte{"token": []byte(token), "email": []byte("pusher@example.iam"), "audience": []byte("https://hooks.example")}, nil
		},
		Resources: b.shelf,
		Log:       funcr.New(func(prefix, args string) { fmt.Fprintln(&b.log, prefix, args) }, funcr.Options{}),
	}
	for _, change := range changes {
		change(&deps)
	}
	b.handler = receiver.New(deps)
	return b
}

func resource(kind, namespace, name, team string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "source.toolkit.fluxcd.io/v1", Kind: kind},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"team": team}},
	}
}

// send calls the webhook and returns the status and the answer.
func (b *bench) send(body string, headers map[string]string) (int, string) {
	request := httptest.NewRequest(http.MethodPost, "/hook/abc", strings.NewReader(body))
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	answer := httptest.NewRecorder()
	b.handler.ServeHTTP(answer, request)
	text, _ := io.ReadAll(answer.Result().Body)
	return answer.Code, string(text)
}

func sign(algorithm string, algorithmOf func() hash.Hash, body string) string {
	mac := hmac.New(algorithmOf, []byte(token))
	_, _ = mac.Write([]byte(body))
	return algorithm + hex.EncodeToString(mac.Sum(nil))
}

// The payloads are cut down from those that the vendors document.
const (
	githubPush    = `{"ref":"refs/heads/main","after":"6dcb09b5b57875f334f61aebed695e2e4193db5e","repository":{"full_name":"octo/platform","clone_url":"https://github.com/octo/platform.git"},"pusher":{"name":"octocat"}}`
	gitlabPush    = `{"object_kind":"push","event_name":"push","ref":"refs/heads/main","checkout_sha":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7","project":{"path_with_namespace":"mike/diaspora"}}`
	bitbucketPush = `{"eventKey":"repo:refs_changed","date":"2017-09-19T09:58:11+1000","repository":{"slug":"repository"},"changes":[{"ref":{"id":"refs/heads/master"},"type":"UPDATE"}]}`
	harborPush    = `{"type":"PUSH_ARTIFACT","occur_at":1680501893,"operator":"harbor-jobservice","event_data":{"resources":[{"digest":"sha256:954b","tag":"1.2"}],"repository":{"name":"alpine"}}}`
	dockerhubPush = `{"callback_url":"https://registry.hub.docker.com/u/svendowideit/testhook/hook/2141b5bi5i5b02bec211i4eeih0242eg11000a/","push_data":{"pushed_at":1417566161,"pusher":"trustedbuilder","tag":"latest"},"repository":{"repo_url":"https://registry.hub.docker.com/u/svendowideit/testhook/"}}`
	quayPush      = `{"name":"repository","repository":"mynamespace/repository","namespace":"mynamespace","docker_url":"quay.io/mynamespace/repository","homepage":"https://quay.io/repository/mynamespace/repository","updated_tags":["latest"]}`
	nexusPush     = `{"timestamp":"2016-11-14T19:32:13.515+0000","nodeId":"7FFA7361","initiator":"anonymous/127.0.0.1","repositoryName":"npm-proxy","action":"CREATED","component":{"id":"08909bf0"}}`
	acrPush       = `{"id":"cb8c3971-9adc-488b-xxxx-43cbb4974ff5","timestamp":"2017-11-17T16:52:01.343145347Z","action":"push","target":{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","size":524,"digest":"sha256:80f0","repository":"hello-world","tag":"v1"},"request":{"host":"myregistry.azurecr.io","method":"PUT"}}`
	cdeventPush   = `{"context":{"version":"0.4.1","id":"271069a8-fc18-44f1-b38f-9d70a1695819","source":"/event/source/123","type":"dev.cdevents.change.merged.0.2.0","timestamp":"2023-03-20T14:27:05.315384Z"},"subject":{"id":"mySubject123","type":"change","content":{}}}`
)

const jsonType = "application/json"

func TestVendors(t *testing.T) {
	t.Parallel()
	form := "payload=" + url.QueryEscape(githubPush)
	events := func(names ...string) func(*notificationv1.Receiver) {
		return func(r *notificationv1.Receiver) { r.Spec.Events = names }
	}
	cases := map[string]struct {
		why     string
		kind    string
		change  func(*notificationv1.Receiver)
		body    string
		headers map[string]string
		want    int
	}{
		"Generic":       {why: "the path is the secret", kind: "generic", want: 200},
		"GenericOdd":    {why: "anything may be sent", kind: "generic", body: "\x00{", headers: map[string]string{"Content-Type": "text/plain"}, want: 200},
		"HMAC256":       {why: "signed", kind: "generic-hmac", body: "hello", headers: map[string]string{"X-Signature": sign("sha256=", sha256.New, "hello")}, want: 200},
		"HMAC512":       {why: "signed", kind: "generic-hmac", body: "hello", headers: map[string]string{"X-Signature": sign("sha512=", sha512.New, "hello")}, want: 200},
		"HMAC1":         {why: "as Flux takes it", kind: "generic-hmac", body: "hello", headers: map[string]string{"X-Signature": sign("sha1=", sha1.New, "hello")}, want: 200},
		"HMACMissing":   {why: "not signed", kind: "generic-hmac", body: "hello", want: 400},
		"HMACEmpty":     {why: "an empty signature is none", kind: "generic-hmac", body: "hello", headers: map[string]string{"X-Signature": "sha256="}, want: 400},
		"HMACOther":     {why: "signed for another body", kind: "generic-hmac", body: "hullo", headers: map[string]string{"X-Signature": sign("sha256=", sha256.New, "hello")}, want: 400},
		"HMACUnknown":   {why: "an algorithm that nobody trusts", kind: "generic-hmac", body: "hello", headers: map[string]string{"X-Signature": sign("md5=", sha256.New, "hello")}, want: 400},
		"HMACCut":       {why: "a part of a signature is none", kind: "generic-hmac", body: "hello", headers: map[string]string{"X-Signature": sign("sha256=", sha256.New, "hello")[:20]}, want: 400},
		"GitHub":        {why: "a push", kind: "github", body: githubPush, headers: map[string]string{"Content-Type": jsonType, "X-GitHub-Event": "push", "X-Hub-Signature-256": sign("sha256=", sha256.New, githubPush)}, want: 200},
		"GitHubSHA1":    {why: "what old installations and Gitea send", kind: "github", body: githubPush, headers: map[string]string{"Content-Type": jsonType, "X-GitHub-Event": "push", "X-Hub-Signature": sign("sha1=", sha1.New, githubPush)}, want: 200},
		"GitHubForm":    {why: "the other content type that GitHub offers", kind: "github", body: form, headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "X-GitHub-Event": "push", "X-Hub-Signature-256": sign("sha256=", sha256.New, form)}, want: 200},
		"GitHubType":    {why: "GitHub sends no plain text", kind: "github", body: githubPush, headers: map[string]string{"Content-Type": "text/plain", "X-Hub-Signature-256": sign("sha256=", sha256.New, githubPush)}, want: 400},
		"GitHubForged":  {why: "the better signature decides", kind: "github", body: githubPush, headers: map[string]string{"Content-Type": jsonType, "X-Hub-Signature-256": "sha256=00", "X-Hub-Signature": sign("sha1=", sha1.New, githubPush)}, want: 400},
		"GitHubBroken":  {why: "signed, but no JSON", kind: "github", body: "{", headers: map[string]string{"Content-Type": jsonType, "X-Hub-Signature-256": sign("sha256=", sha256.New, "{")}, want: 400},
		"GitHubEvent":   {why: "case does not matter", kind: "github", change: events("ping", "PUSH"), body: githubPush, headers: map[string]string{"Content-Type": jsonType, "X-GitHub-Event": "push", "X-Hub-Signature-256": sign("sha256=", sha256.New, githubPush)}, want: 200},
		"GitHubUnasked": {why: "an event that the receiver does not list", kind: "github", change: events("push"), body: githubPush, headers: map[string]string{"Content-Type": jsonType, "X-GitHub-Event": "star", "X-Hub-Signature-256": sign("sha256=", sha256.New, githubPush)}, want: 400},
		"GitLab":        {why: "a push", kind: "gitlab", change: events("Push Hook"), body: gitlabPush, headers: map[string]string{"Content-Type": jsonType, "X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": token}, want: 200},
		"GitLabToken":   {why: "another token", kind: "gitlab", body: gitlabPush, headers: map[string]string{"Content-Type": jsonType, "X-Gitlab-Token": token + "x"}, want: 400},
		"GitLabNone":    {why: "no token", kind: "gitlab", body: gitlabPush, want: 400},
		"GitLabUnasked": {why: "an event that the receiver does not list", kind: "gitlab", change: events("Push Hook"), body: gitlabPush, headers: map[string]string{"X-Gitlab-Event": "Note Hook", "X-Gitlab-Token": token}, want: 400},
		"Bitbucket":     {why: "a push", kind: "bitbucket", change: events("repo:refs_changed"), body: bitbucketPush, headers: map[string]string{"Content-Type": "application/json; charset=utf-8", "X-Event-Key": "repo:refs_changed", "X-Hub-Signature": sign("sha256=", sha256.New, bitbucketPush)}, want: 200},
		"BitbucketNone": {why: "not signed", kind: "bitbucket", body: bitbucketPush, headers: map[string]string{"Content-Type": jsonType}, want: 400},
		"Harbor":        {why: "a push", kind: "harbor", body: harborPush, headers: map[string]string{"Content-Type": jsonType, "Authorization": token}, want: 200},
		"HarborToken":   {why: "another token", kind: "harbor", body: harborPush, headers: map[string]string{"Content-Type": jsonType, "Authorization": "Bearer " + token}, want: 400},
		"DockerHub":     {why: "a push", kind: "dockerhub", body: dockerhubPush, headers: map[string]string{"Content-Type": jsonType}, want: 200},
		"DockerHubText": {why: "no JSON", kind: "dockerhub", body: "push", want: 400},
		"Quay":          {why: "a push", kind: "quay", body: quayPush, headers: map[string]string{"Content-Type": jsonType}, want: 200},
		"QuayList":      {why: "no object", kind: "quay", body: "[]", want: 400},
		"Nexus":         {why: "a push", kind: "nexus", body: nexusPush, headers: map[string]string{"Content-Type": jsonType, "X-Nexus-Webhook-Signature": sign("", sha1.New, nexusPush)}, want: 200},
		"NexusNone":     {why: "not signed", kind: "nexus", body: nexusPush, want: 400},
		"ACR":           {why: "a push", kind: "acr", body: acrPush, headers: map[string]string{"Content-Type": jsonType}, want: 200},
		"ACRText":       {why: "no JSON", kind: "acr", body: "", want: 400},
		"CDEvents":      {why: "a change", kind: "cdevents", change: events("dev.cdevents.change.merged.0.2.0"), body: cdeventPush, headers: map[string]string{"Ce-Type": "dev.cdevents.change.merged.0.2.0"}, want: 200},
		"CDEventsOther": {why: "an event that the receiver does not list", kind: "cdevents", change: events("dev.cdevents.change.merged.0.2.0"), body: cdeventPush, headers: map[string]string{"Ce-Type": "dev.cdevents.change.created.0.2.0"}, want: 400},
		"CDEventsBad":   {why: "no event", kind: "cdevents", body: `{"context":{"type":"dev.cdevents.change.merged.0.2.0"}}`, want: 400},
		"GCRNone":       {why: "no token of Google", kind: "gcr", body: "{}", want: 400},
		"Unknown":       {why: "a type of the future", kind: "carrier-pigeon", want: 400},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := ready(c.kind)
			if c.change != nil {
				c.change(r)
			}
			b := newBench(r)
			status, answer := b.send(c.body, c.headers)
			if status != c.want || answer != "" {
				t.Fatalf("%s: got %d %q, want %d\n%s", c.why, status, answer, c.want, b.log.String())
			}
			var want []string
			if c.want == http.StatusOK {
				want = []string{"GitRepository/apps/platform"}
			}
			if diff := cmp.Diff(want, b.shelf.all()); diff != "" {
				t.Errorf("%s: asked (-want +got):\n%s", c.why, diff)
			}
			if strings.Contains(b.log.String(), token) {
				t.Errorf("the token was logged:\n%s", b.log.String())
			}
		})
	}
}

func TestWhoIsAsked(t *testing.T) {
	t.Parallel()
	named := func(change func(*notificationv1.ReceiverResource)) func(*notificationv1.Receiver) {
		return func(r *notificationv1.Receiver) { change(&r.Spec.Resources[0]) }
	}
	push := map[string]string{"Content-Type": jsonType}
	cases := map[string]struct {
		why    string
		change func(*notificationv1.Receiver)
		deps   func(*receiver.Deps)
		body   string
		want   []string
		status int
	}{
		"All": {why: "by labels", status: 200, want: []string{"GitRepository/apps/platform"},
			change: named(func(r *notificationv1.ReceiverResource) { r.Name, r.MatchLabels = "*", map[string]string{"team": "a"} })},
		"AllWithoutLabels": {why: "an asterisk alone is too much", status: 500,
			change: named(func(r *notificationv1.ReceiverResource) { r.Name = "*" })},
		"NoneMatches": {why: "nobody to ask is no failure", status: 200,
			change: named(func(r *notificationv1.ReceiverResource) { r.Name, r.MatchLabels = "*", map[string]string{"team": "z"} })},
		"Elsewhere": {why: "another namespace", status: 200, want: []string{"GitRepository/elsewhere/platform"},
			change: named(func(r *notificationv1.ReceiverResource) { r.Namespace = "elsewhere" })},
		"Blocked": {why: "tenants stay in their namespaces", status: 500, deps: func(d *receiver.Deps) { d.NoCrossNamespaceRefs = true },
			change: named(func(r *notificationv1.ReceiverResource) { r.Namespace = "elsewhere" })},
		"DefaultVersion": {why: "Flux knows the kind", status: 200, want: []string{"GitRepository/apps/platform"},
			change: named(func(r *notificationv1.ReceiverResource) { r.APIVersion = "" })},
		"ForeignKind": {why: "a webhook restarts nothing but Flux's kinds", status: 500,
			change: named(func(r *notificationv1.ReceiverResource) { r.APIVersion, r.Kind = "apps/v1", "Deployment" })},
		"ForeignGroup": {why: "nor kinds of that name in other groups", status: 500,
			change: named(func(r *notificationv1.ReceiverResource) { r.APIVersion = "example.org/v1" })},
		"Path": {why: "a name is not a path", status: 500,
			change: named(func(r *notificationv1.ReceiverResource) { r.Name = "../../../secrets/token" })},
		"Filter": {why: "what was pushed decides who is asked", status: 200, body: `{"tag":"other"}`, want: []string{"GitRepository/apps/other"},
			change: func(r *notificationv1.Receiver) {
				r.Spec.ResourceFilter = `req.tag == res.metadata.name`
				r.Spec.Resources = []notificationv1.ReceiverResource{source("platform"), source("other")}
			}},
		"OwnFilter": {why: "both filters must agree", status: 200, body: `{"tag":"other"}`,
			change: func(r *notificationv1.Receiver) {
				r.Spec.ResourceFilter = `req.tag == res.metadata.name`
				r.Spec.Resources = []notificationv1.ReceiverResource{source("platform"), source("other")}
				r.Spec.Resources[1].Filter = `res.metadata.labels["team"] == "a"`
			}},
		"FilterMissing": {why: "a field that is not there is a mistake", status: 500, body: `{}`,
			change: func(r *notificationv1.Receiver) { r.Spec.ResourceFilter = `req.tag == res.metadata.name` }},
		"FilterInvalid": {why: "so is an expression that is none", status: 500, body: `{}`,
			change: func(r *notificationv1.Receiver) { r.Spec.ResourceFilter = `req.tag ==` }},
		"OneOfTwo": {why: "one that is missing does not keep the other from being asked", status: 500, want: []string{"GitRepository/apps/platform"},
			body: `{}`, change: func(r *notificationv1.Receiver) {
				r.Spec.Resources = []notificationv1.ReceiverResource{source("gone"), source("platform")}
				r.Spec.Resources[0].Filter = "true"
			}},
		"Refused": {why: "the API server says no", status: 500, want: []string{"GitRepository/apps/platform"},
			deps: func(d *receiver.Deps) { d.Resources.(*shelf).fails = errors.New("forbidden") }},
		"Suspended": {why: "as Flux answers", status: 503, change: func(r *notificationv1.Receiver) { r.Spec.Suspend = true }},
		"NotReady":  {why: "as Flux answers", status: 503, change: func(r *notificationv1.Receiver) { r.Status.Conditions = nil }},
		"OtherPath": {why: "nobody is there", status: 404, change: func(r *notificationv1.Receiver) { r.Status.WebhookPath = "/hook/other" }},
		"NoSecret": {why: "a token that is gone opens nothing", status: 400, deps: func(d *receiver.Deps) {
			d.Secret = func(context.Context, string, string) (map[string][]byte, error) { return nil, errors.New("not found") }
		}},
		"EmptyToken": {why: "nor does an empty one", status: 400, deps: func(d *receiver.Deps) {
			d.Secret = func(context.Context, string, string) (map[string][]byte, error) {
				return map[string][]byte{"token": {}}, nil
			}
		}},
		"FindFails": {why: "our trouble is not the caller's", status: 500, deps: func(d *receiver.Deps) {
			d.Find = func(context.Context, string) (*notificationv1.Receiver, error) { return nil, errors.New("no cache") }
		}},
		"TooLarge": {why: "nobody pushes so much", status: 400, body: strings.Repeat("x", 3<<20+1)},
		"Large":    {why: "but this much", status: 200, body: `{"x":"` + strings.Repeat("x", 3<<20-8) + `"}`, want: []string{"GitRepository/apps/platform"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := ready("generic")
			if c.change != nil {
				c.change(r)
			}
			var changes []func(*receiver.Deps)
			if c.deps != nil {
				changes = append(changes, c.deps)
			}
			b := newBench(r, changes...)
			if status, _ := b.send(c.body, push); status != c.status {
				t.Fatalf("%s: got %d, want %d\n%s", c.why, status, c.status, b.log.String())
			}
			if diff := cmp.Diff(c.want, b.shelf.all()); diff != "" {
				t.Errorf("%s: asked (-want +got):\n%s", c.why, diff)
			}
		})
	}
}

// TestFloodsAreBounded: neither strangers nor a sender gone wild can make us do more than so much.
func TestFloodsAreBounded(t *testing.T) {
	t.Parallel()
	stopped := func(d *receiver.Deps) {
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		d.Now, d.Log = func() time.Time { return at }, logr.Discard()
	}
	count := func(b *bench, headers map[string]string) map[int]int {
		seen := map[int]int{}
		for range 300 {
			status, _ := b.send("", headers)
			seen[status]++
		}
		return seen
	}
	if diff := cmp.Diff(map[int]int{200: 60, 429: 240}, count(newBench(ready("generic"), stopped), nil)); diff != "" {
		t.Errorf("a sender gone wild (-want +got):\n%s", diff)
	}
	b := newBench(ready("gitlab"), stopped)
	for range 150 {
		if status, _ := b.send("", nil); status != http.StatusBadRequest {
			t.Fatalf("a stranger got %d", status)
		}
	}
	if status, _ := b.send("", map[string]string{"X-Gitlab-Token": token}); status != http.StatusOK {
		t.Errorf("strangers used up what is GitLab's: %d", status)
	}
}

// TestReplayIsHarmless: a call that somebody recorded can do no more than to ask again.
func TestReplayIsHarmless(t *testing.T) {
	t.Parallel()
	b := newBench(ready("github"))
	headers := map[string]string{"Content-Type": jsonType, "X-GitHub-Event": "push", "X-Hub-Signature-256": sign("sha256=", sha256.New, githubPush)}
	for range 3 {
		if status, _ := b.send(githubPush, headers); status != http.StatusOK {
			t.Fatalf("got %d", status)
		}
	}
	if got := b.shelf.all(); len(slices.Compact(got)) != 1 {
		t.Errorf("asked %v", got)
	}
}

// TestServerLimits: a header that is too long never gets as far as a receiver.
func TestServerLimits(t *testing.T) {
	t.Parallel()
	b := newBench(ready("generic"))
	server := httptest.NewUnstartedServer(nil)
	server.Config = b.handler.Server()
	server.Start()
	t.Cleanup(server.Close)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/hook/abc", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Long", strings.Repeat("x", 300<<10))
	response, err := http.DefaultClient.Do(request)
	if err == nil {
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			t.Error("it was taken")
		}
	}
	if got := b.shelf.all(); got != nil {
		t.Errorf("asked %v", got)
	}
}

// FuzzVendors: no bytes of a stranger may end the process, or get anybody asked where a sender can
// prove who it is.
func FuzzVendors(f *testing.F) {
	kinds := []string{"generic", "generic-hmac", "generic-oidc", "github", "gitlab", "bitbucket", "harbor", "dockerhub", "quay", "gcr", "nexus", "acr", "cdevents"}
	for i, body := range []string{
		"", "hello", "{}", githubPush, gitlabPush, bitbucketPush, harborPush, dockerhubPush, quayPush,
		`{"message":{"data":"` + base64.StdEncoding.EncodeToString([]byte(`{"tag":"a"}`)) + `"}}`, nexusPush, acrPush, cdeventPush,
	} {
		f.Add(i, []byte(body), "sha256=00", jsonType, true)
		f.Add(i, []byte(body), "Bearer a.e30.c", "application/x-www-form-urlencoded", false)
	}
	open := []string{"generic", "dockerhub", "quay", "acr", "cdevents"}
	f.Fuzz(func(t *testing.T, which int, body []byte, signature, content string, filtered bool) {
		kind := kinds[((which%len(kinds))+len(kinds))%len(kinds)]
		r := ready(kind)
		if filtered {
			r.Spec.ResourceFilter = `has(req.tag) && req.tag == "latest"`
		}
		if kind == "generic-oidc" {
			r.Spec.OIDCProviders = []notificationv1.OIDCProvider{{IssuerURL: "https://issuer.invalid", Validations: []notificationv1.OIDCValidation{{Expression: "true"}}}}
		}
		b := newBench(r, func(d *receiver.Deps) {
			d.Issuers = receiver.NewIssuers(receiver.IssuerOptions{Client: &http.Client{Transport: nowhere{}}})
		})
		status, _ := b.send(string(body), map[string]string{
			"Content-Type": content, "X-Signature": signature, "X-Hub-Signature-256": signature, "X-Hub-Signature": signature,
			"X-Gitlab-Token": signature, "Authorization": signature, "X-Nexus-Webhook-Signature": signature,
		})
		asked := len(b.shelf.all()) > 0
		if asked && !slices.Contains(open, kind) {
			t.Errorf("%s: somebody without the token got %d", kind, status)
		}
		if status != 200 && status != 400 && status != 500 {
			t.Errorf("%s: answered %d", kind, status)
		}
	})
}

// nowhere is a network without anybody.
type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("nobody is there")
}
