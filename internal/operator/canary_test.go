package operator_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/model/sealed"
	"holdfast.dev/holdfast/internal/operator"
	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/database"
	"holdfast.dev/holdfast/internal/stage/decrypt/sopstest"
	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

// canaries are values that nobody may get to see, by where they were put. Each has its own text, so that
// a leak tells where it comes from.
type canaries map[string]string

// plant makes the value of a place. No text of ours looks like it in any of its forms.
func (c canaries) plant(place string) string {
	c[place] = "cnry<" + place + ">&\"7f3a+/=" + place
	return c[place]
}

// plain makes one that may stand where only letters, digits and dashes may.
func (c canaries) plain(place string) string {
	c[place] = "cnry-" + place + "-7f3a"
	return c[place]
}

// formsOf returns the forms in which a value may be found.
func formsOf(value string) []string {
	quoted := strconv.Quote(value)
	encoded, _ := json.Marshal(value)
	forms := []string{
		value, quoted[1 : len(quoted)-1], string(encoded[1 : len(encoded)-1]), url.QueryEscape(value), url.PathEscape(value),
		hex.EncodeToString([]byte(value)),
	}
	for shift := range 3 { // in base64, it depends on what is before it
		inner := base64.StdEncoding.EncodeToString([]byte("xxx"[:shift] + value))
		inner = inner[(shift*8+5)/6 : len(inner)-4]
		forms = append(forms, inner, strings.NewReplacer("+", "-", "/", "_").Replace(inner))
	}
	return forms
}

// sinks are all that an operator tells, by name.
type sinks map[string]string

// hold checks that no canary got into any sink.
func (s sinks) hold(t *testing.T, planted canaries) {
	t.Helper()
	for place, value := range planted {
		for _, form := range formsOf(value) {
			for name, said := range s {
				if at := strings.Index(said, form); at >= 0 {
					t.Errorf("the value of %q is in %s: …%s…", place, name, said[max(0, at-300):min(len(said), at+len(form)+100)])
				}
			}
		}
	}
}

// keptBytes is a sink that takes whatever arrives.
type keptBytes struct {
	lock sync.Mutex
	all  bytes.Buffer
}

func (k *keptBytes) add(prefix, args string) { k.write(prefix + " " + args + "\n") }

func (k *keptBytes) write(text string) {
	k.lock.Lock()
	defer k.lock.Unlock()
	k.all.WriteString(text)
}

func (k *keptBytes) text() string {
	k.lock.Lock()
	defer k.lock.Unlock()
	return k.all.String()
}

// ServeHTTP keeps the body of a request: of spans, or of alerts. The head carries what it must.
func (k *keptBytes) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	k.write(fmt.Sprintf("%s %v\n", body, err))
}

// watched is a world whose daemon tells into sinks.
type watched struct {
	*world
	planted           canaries
	log, spans, alert *keptBytes
	dir               string
	alerts, collector *httptest.Server
	scraped           string
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	w := &watched{planted: canaries{}, log: &keptBytes{}, spans: &keptBytes{}, alert: &keptBytes{}, dir: t.TempDir()}
	w.alerts, w.collector = httptest.NewServer(w.alert), httptest.NewServer(w.spans)
	t.Cleanup(w.alerts.Close)
	t.Cleanup(w.collector.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", w.collector.URL) // the exporter reads it itself
	shared(t)
	w.world = emptyWorld(t)
	w.own = true
	return w
}

// traceLevel is more than --log-level=trace shows. From 8 on, client-go would write whole requests.
const traceLevel = 5

// run starts the daemon, anew where there was one.
func (w *watched) run() {
	w.t.Helper()
	if w.daemon != nil {
		w.stop()
	}
	w.daemon = w.start(func(c *operator.Config) {
		c.Dir, c.Log, c.LoopbackAlerts = w.dir, funcr.New(w.log.add, funcr.Options{Verbosity: traceLevel}), true
		c.MetricsAddress, c.ReceiverAddress, c.Environment = "127.0.0.1:0", "127.0.0.1:0", os.LookupEnv
	})
}

// stop ends the daemon. What it counted is read before.
func (w *watched) stop() {
	w.t.Helper()
	w.scraped += scrape(w.t, w.daemon)
	w.daemon.halt()
}

// gather reads all that was told. The daemon has stopped.
func (w *watched) gather() sinks {
	w.t.Helper()
	found := sinks{"the log": w.log.text(), "spans": w.spans.text(), "alerts": w.alert.text(), "metrics": w.scraped}
	for _, about := range [][2]string{
		{"v1", "Event"}, {"kustomize.toolkit.fluxcd.io/v1", "Kustomization"}, {"source.toolkit.fluxcd.io/v1", "GitRepository"},
		{"notification.toolkit.fluxcd.io/v1", "Receiver"}, {"notification.toolkit.fluxcd.io/v1beta3", "Alert"},
		{"notification.toolkit.fluxcd.io/v1beta3", "Provider"}, {"v1", "ConfigMap"}, {"v1", "Secret"},
	} {
		var list unstructured.UnstructuredList
		list.SetAPIVersion(about[0])
		list.SetKind(about[1] + "List")
		namespaces := []string{w.namespace}
		if about[1] == "ConfigMap" || about[1] == "Secret" {
			namespaces = append(namespaces, "flux-system") // what the daemon itself keeps
		}
		for _, namespace := range namespaces {
			check(w.t, w.client.List(w.t.Context(), &list, client.InNamespace(namespace)))
			for i := range list.Items {
				found[about[1]+" "+list.Items[i].GetName()] = saidIn(&list.Items[i])
			}
		}
	}
	check(w.t, filepath.WalkDir(w.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !strings.HasPrefix(entry.Name(), operator.RecordFile) {
			return err
		}
		content, err := os.ReadFile(path)
		found[entry.Name()] = string(content)
		return err
	}))
	db, err := database.OpenToRead(database.File(filepath.Join(w.dir, operator.RecordFile)))
	check(w.t, err)
	defer func() { _ = db.Close() }()
	var lines, events bytes.Buffer
	check(w.t, audit.Export(w.t.Context(), db, &lines))
	check(w.t, audit.ExportEvents(w.t.Context(), db, &events))
	found["the export"], found["the exported events"] = lines.String(), events.String()
	return found
}

// TestCanary: a value that was put into any kind of secret input is in nothing that the operator tells,
// while all goes well, goes wrong, is undone, and after a restart.
func TestCanary(t *testing.T) {
	w := newWatched(t)
	key := sopstest.Age(t)
	w.git = gittest.Serve(t, gittest.Options{Username: "me", Password: w.planted.plant("password")})
	w.repo = w.git.Repository(t, sourceName)
	w.run()
	w.alerted()
	w.troubledSources()
	w.deliverCanaries(key)
	w.calledBack()
	w.elsewhere()
	w.fails()
	w.restarts()
	w.stop()
	found := w.gather()
	for _, name := range []string{"the log", "spans", "alerts", "metrics", "the export", "the exported events", operator.RecordFile} {
		if len(found[name]) < 1000 {
			t.Errorf("%s holds next to nothing: %q", name, found[name])
		}
	}
	found.hold(t, w.planted)
}

// alerted makes one provider that works, and one that does not.
func (w *watched) alerted() {
	w.t.Helper()
	query := "?key=" + url.QueryEscape(w.planted.plant("provider-address"))
	headers := "X-Token: " + w.planted.plain("provider-header")
	w.secret("well", map[string]string{"address": w.alerts.URL + "/" + query, "headers": headers, "token": w.planted.plant("provider-token")})
	w.secret("ill", map[string]string{"address": "http://127.0.0.1:1/" + query, "headers": headers, "token": w.planted.plant("ill-token")})
	w.secret("garbled", map[string]string{"address": "http://" + w.planted.plain("garbled-address") + ":port/%zz", "headers": w.planted.plant("garbled-headers")})
	for _, name := range []string{"well", "ill", "garbled"} {
		w.add("apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Provider\nmetadata:\n  name: " + name + "\nspec:\n  type: generic\n  secretRef:\n    name: " + name + "\n")
		w.add("apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Alert\nmetadata:\n  name: " + name + "\nspec:\n  providerRef:\n    name: " + name + "\n" +
			"  eventSources:\n    - kind: Kustomization\n      name: '*'\n    - kind: GitRepository\n      name: '*'\n")
	}
}

// troubledSources makes sources with credentials that are refused, in each place where they may be.
func (w *watched) troubledSources() {
	w.t.Helper()
	host := strings.TrimPrefix(w.git.Address, "http://")
	userinfo := url.UserPassword(w.planted.plain("address-user"), w.planted.plant("address-password")).String()
	w.secret("wrong", map[string]string{"username": w.planted.plant("wrong-user"), "password": w.planted.plant("wrong-password")})
	w.secret("bearer", map[string]string{"bearerToken": w.planted.plain("bearer")})
	for name, one := range map[string]sourcev1.GitRepositorySpec{
		"userinfo": {URL: "http://" + userinfo + "@" + host + "/platform.git"},
		"nobody":   {URL: "http://" + userinfo + "@127.0.0.1:1/platform.git"},
		"garbled":  {URL: "http://me:" + w.planted.plain("garbled-url") + "%zz@" + host + "/platform.git"},
		"wrong":    {URL: w.repo.URL(), SecretRef: &meta.LocalObjectReference{Name: "wrong"}},
		"bearer":   {URL: w.repo.URL(), SecretRef: &meta.LocalObjectReference{Name: "bearer"}},
	} {
		one.Interval = metav1.Duration{Duration: time.Hour}
		source := &sourcev1.GitRepository{ObjectMeta: w.meta(name), Spec: one}
		w.create(source)
		await(w.world, source, "failing", sourceIs(metav1.ConditionFalse))
	}
}

// deliverCanaries delivers values from each source that an object can have them from.
func (w *watched) deliverCanaries(key sopstest.Key) {
	w.t.Helper()
	w.secret("login", map[string]string{"username": "me", "password": w.planted["password"]})
	w.secret("keys", map[string]string{"a.agekey": key.Private})
	w.planted["key"] = key.Private
	w.secret("tokens", map[string]string{"token": w.planted.plant("variable"), "image": w.planted.plain("image")})
	revision := w.commit(map[string]string{
		"apps/kustomization.yaml": "resources: [object.yaml, settings.yaml]\ngeneratorOptions: {disableNameSuffixHash: true}\nsecretGenerator: [{name: generated, envs: [prod.env]}]\n",
		"apps/prod.env":           sopstest.Encrypt(w.t, sopstest.File{Format: sealed.Dotenv, Plain: "token=" + w.planted.plant("generated") + "\n", For: []sopstest.Key{key}}),
		"apps/object.yaml":        sopstest.Secret(w.t, "object", w.planted.plain("object"), key),
		"apps/settings.yaml":      configMap("settings", "token: '${token}'"),
	})
	w.create(&sourcev1.GitRepository{ObjectMeta: w.meta(sourceName), Spec: sourcev1.GitRepositorySpec{
		URL: w.repo.URL(), Interval: metav1.Duration{Duration: time.Hour}, SecretRef: &meta.LocalObjectReference{Name: "login"},
		Reference: &sourcev1.GitRepositoryRef{Branch: gittest.DefaultBranch},
	}})
	w.unit("apps", waits, unbaked, decryptedWith("keys"), func(u *kustomizev1.Kustomization) {
		u.Spec.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "Secret", Name: "tokens"}}}
	})
	w.ready("apps", revision)
	w.good("apps")
	for name, place := range map[string]string{"generated": "generated", "object": "object"} {
		await(w.world, w.secretObject(name), "delivered", keeps("token", w.planted[place]))
	}
	await(w.world, w.configMap("settings"), "delivered", holds("token", w.planted["variable"]))
	w.edit(w.configMap("settings"), set("token", "drifted"))
	await(w.world, w.configMap("settings"), "set back", holds("token", w.planted["variable"]))
	w.edit(w.secretObject("object"), set("token", "ZHJpZnRlZA=="))
	await(w.world, w.secretObject("object"), "set back", keeps("token", w.planted["object"]))
}

// calledBack calls a webhook with the right token, and with a wrong one.
func (w *watched) calledBack() {
	w.t.Helper()
	w.secret("hook", map[string]string{"token": w.planted.plain("webhook")})
	receiver := &notificationv1.Receiver{ObjectMeta: w.meta("hook"), Spec: notificationv1.ReceiverSpec{
		Type: notificationv1.GitLabReceiver, SecretRef: &meta.LocalObjectReference{Name: "hook"},
		Resources: []notificationv1.ReceiverResource{{CrossNamespaceObjectReference: notificationv1.CrossNamespaceObjectReference{Kind: sourcev1.GitRepositoryKind, Name: sourceName}}},
	}}
	w.create(receiver)
	live := await(w.world, receiver, "ready", func(r *notificationv1.Receiver) bool {
		return r != nil && apimeta.IsStatusConditionTrue(r.Status.Conditions, meta.ReadyCondition)
	})
	call := func(token string) int {
		request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+w.daemon.ReceiverHost()+live.Status.WebhookPath, strings.NewReader("{}"))
		check(w.t, err)
		request.Header.Set("X-Gitlab-Event", "Push Hook")
		request.Header.Set("X-Gitlab-Token", token)
		response, err := http.DefaultClient.Do(request)
		check(w.t, err)
		check(w.t, response.Body.Close())
		return response.StatusCode
	}
	eventually.True(w.t, "the webhook is answered", func() bool { return call(w.planted["webhook"]) == http.StatusOK })
	if got := call(w.planted.plain("wrong-webhook")); got != http.StatusBadRequest {
		w.t.Errorf("a wrong token got %d", got)
	}
}

// elsewhere names clusters with a token that is refused, and in a kubeconfig that cannot be read.
func (w *watched) elsewhere() {
	w.t.Helper()
	for name, content := range map[string]string{
		"refused":  w.kubeconfig("token: " + w.planted.plain("kubeconfig")),
		"garbled":  "apiVersion: v1\nkind: Config\nusers: [{name: u, user: {token: " + w.planted.plain("garbled-kubeconfig") + "}\n",
		"mistyped": "apiVersion: v1\nkind: Config\nusers: " + w.planted.plain("mistyped-kubeconfig") + "\n",
	} {
		w.secret(name, map[string]string{"value": content})
		w.unit(name, func(u *kustomizev1.Kustomization) {
			u.Spec.Path = "./plain"
			u.Spec.KubeConfig = &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: name}}
		})
	}
	w.commit(map[string]string{"plain/a.yaml": configMap("plain", "color: blue")})
	for _, name := range []string{"refused", "garbled", "mistyped"} {
		w.failed(name, "ReconciliationFailed", "")
	}
}

// fails commits what the server refuses, and what is undone, each for a cause that quotes a value.
func (w *watched) fails() {
	w.t.Helper()
	service := func(field string) string {
		return "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  " + field + "\n  ports: [{port: 80}]\n"
	}
	w.commit(map[string]string{
		"apps/kustomization.yaml": "resources: [object.yaml, settings.yaml, web.yaml]\ngeneratorOptions: {disableNameSuffixHash: true}\nsecretGenerator: [{name: generated, envs: [prod.env]}]\n",
		"apps/web.yaml":           service("type: '${token}'"),
	})
	w.failed("apps", "ReconciliationFailed", "spec.type: must be one of") // found before the server is asked
	w.commit(map[string]string{"apps/web.yaml": service("clusterIP: '${token}'")})
	w.failed("apps", "ReconciliationFailed", "(secret)") // which quotes what it refuses
	w.commit(map[string]string{"apps/web.yaml": strings.Replace(deployment("web", "web", 1), "app:v1", "${image}:does-not-exist", 1)})
	w.failed("apps", "RolledBack", "(secret)")
}

// restarts lets the next daemon write the release that stands without being able to make it anew, while
// the server quotes what it refuses.
func (w *watched) restarts() {
	w.t.Helper()
	name := w.namespace + "-quotes"
	for _, manifest := range []string{
		"apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: " + name + "}\nspec:\n  matchConstraints:\n    resourceRules:\n" +
			"      - {apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [secrets]}\n" +
			"    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: " + w.namespace + "}}\n" +
			"  validations:\n    - expression: object.metadata.name != 'object'\n      messageExpression: \"'quoting ' + string(object.data.token)\"\n",
		"apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {name: " + name + "}\nspec: {policyName: " + name + ", validationActions: [Deny]}\n",
	} {
		u := &unstructured.Unstructured{}
		check(w.t, yaml.Unmarshal([]byte(manifest), &u.Object))
		w.create(u)
		w.t.Cleanup(func() { _ = w.client.Delete(context.Background(), u) })
	}
	w.stop()
	w.delete(w.secretObject("keys"))
	probe := &corev1.Secret{ObjectMeta: w.meta("object"), StringData: map[string]string{"token": "probe"}}
	w.delete(w.secretObject("object"))
	eventually.True(w.t, "the server refuses", func() bool {
		err := w.client.Create(w.t.Context(), probe.DeepCopy(), client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), "quoting ")
	})
	w.daemon = nil
	w.run()
	w.failed("apps", "BuildFailed", "quoting (secret)") // again and again, so that it is not lost
}

// saidIn returns what an object tells: all of it, but for what Secrets hold, what is written as desired
// in spec, and the data of ConfigMaps that values were put into on purpose.
func saidIn(u *unstructured.Unstructured) string {
	kept := u.DeepCopy()
	if u.GetKind() == "Secret" || u.GetNamespace() != "flux-system" {
		delete(kept.Object, "data")
	}
	delete(kept.Object, "spec")
	annotations := kept.GetAnnotations()
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	kept.SetAnnotations(annotations)
	return jsonOf(kept.Object)
}
