package operator_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	checks "holdfast.dev/holdfast/internal/cli/check"
	"holdfast.dev/holdfast/internal/stage/render"
)

// mistakes are ten, in one commit, beside an object that is right.
const mistakes = `apiVersion: v1
kind: ConfigMap
metadata:
  name: sound
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
spec:
  replicas: "3"
  selector:
    matchLabels: {app: shop}
  template:
    metadata:
      labels: {app: shop}
    spec:
      containers:
        - name: web
          imagePullPolicy: Sometimes
          resources:
            requests: {cpu: much}
        - image: busybox
          name: side
          ports: [{containerPort: 80}, {containerPort: 80}]
---
apiVersion: v1
kind: Service
metadata:
  name: shop
spec:
  selektor: {app: shop}
  ports:
    - port: 80
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: Settings
data:
  number: 5
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: readers
  labels: {"not a label": x}
subjects: []
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: nightly
spec:
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: a, image: b}]
`

// places are where the mistakes are.
var places = []string{
	"a.yaml:11", // replicas in quotes
	"a.yaml:20", // imagePullPolicy
	"a.yaml:22", // cpu
	"a.yaml:25", // a port twice
	"a.yaml:32", // selektor
	"a.yaml:39", // a name
	"a.yaml:41", // a number
	"a.yaml:47", // a label
	"a.yaml:43", // roleRef is missing: the object itself
	"a.yaml:54", // schedule is missing
}

// TestTenMistakes: one pass tells all mistakes of a commit, the command the same ones, and nothing is
// written.
func TestTenMistakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.commit(map[string]string{"apps/a.yaml": mistakes})
	w.source()
	w.unit("apps")
	u := w.failed("apps", "ReconciliationFailed", "[schema/type]")
	message := apimeta.FindStatusCondition(u.Status.Conditions, "Ready").Message
	for _, place := range places {
		if !strings.Contains(message, "(apps/"+place+")") {
			t.Errorf("nothing is said of %s:\n%s", place, message)
		}
	}
	if read(w, w.configMap("sound")) != nil {
		t.Error("something was written")
	}

	dir := t.TempDir()
	unit := "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps, namespace: " + w.namespace + "}\n" +
		"spec: {interval: 1h, path: ./apps, prune: true, targetNamespace: " + w.namespace + ", sourceRef: {kind: GitRepository, name: platform}}\n"
	for name, content := range map[string]string{"apps/a.yaml": mistakes, "clusters/dev/apps.yaml": unit} {
		check(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700))
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	var out bytes.Buffer
	command := checks.New(checks.Outside{Out: &out, Err: &out, Opener: func(string) (render.Opener, error) { return nil, nil }})
	command.SetArgs([]string{dir})
	command.SilenceErrors, command.SilenceUsage = true, true
	if err := command.ExecuteContext(t.Context()); err == nil {
		t.Error("the command finds nothing")
	}
	var told []string
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		line = strings.TrimSuffix(line, " in "+w.namespace+"/apps")
		if strings.Contains(line, "(apps/a.yaml") {
			told = append(told, line)
		}
	}
	want := strings.Split(message, "\n")
	slices.Sort(told)
	slices.Sort(want)
	if strings.Join(told, "\n") != strings.Join(want, "\n") {
		t.Errorf("the command says\n%s\nand the controller\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

// TestWarningsAreTold: what does not refuse a commit shows in a condition and an event, as long as it is so.
func TestWarningsAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.deliver("apps", map[string]string{"apps/a.yaml": "apiVersion: v1\nkind: Secret\nmetadata:\n  name: keys\nstringData:\n  password: hunter2hunter2\n"})
	found := apimeta.FindStatusCondition(u.Status.Conditions, "Findings")
	if found == nil || !strings.Contains(found.Message, "[secret/plain-text]") || strings.Contains(found.Message, "hunter2") {
		t.Fatalf("the condition is %v", found)
	}
	w.told("apps", "[secret/plain-text]")
	u = w.ready("apps", w.commit(map[string]string{"apps/a.yaml": configMap("keys")}))
	if found := apimeta.FindStatusCondition(u.Status.Conditions, "Findings"); found != nil {
		t.Errorf("what is mended is still told: %v", found)
	}
}

// TestNamespaceWithDataIsSpared: a commit that would take others' data along is refused until its author
// acknowledges it.
func TestNamespaceWithDataIsSpared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.namespace + "-spared"
	w.deliver("apps", map[string]string{
		"apps/a.yaml": "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + other + "\n",
		"apps/b.yaml": strings.Replace(configMap("kept"), "  name:", "  namespace: "+w.namespace+"\n  name:", 1),
	}, func(u *kustomizev1.Kustomization) { u.Spec.TargetNamespace = "" })
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: other, Name: "theirs"}})
	revision := w.commit(map[string]string{"apps/a.yaml": ""})
	w.failed("apps", "ReconciliationFailed", "Namespace/"+other+" would be deleted, and has secrets")
	var namespace corev1.Namespace
	check(t, w.client.Get(context.Background(), client.ObjectKey{Name: other}, &namespace))
	if !namespace.DeletionTimestamp.IsZero() {
		t.Error("the namespace is being deleted")
	}
	w.change("apps", func(u *kustomizev1.Kustomization) {
		u.Annotations = map[string]string{"holdfast.dev/allow-delete": "Namespace/" + other}
	})
	w.ask("apps")
	w.ready("apps", revision)
}
