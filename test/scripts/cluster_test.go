package scripts_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/config/crd"
	"holdfast.dev/holdfast/internal/cli/fleet"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
)

// cluster is the test's own access to the API server.
type cluster struct {
	client client.WithWatch
	fleet  *fleet.Cluster
	config *rest.Config
}

// connect prepares the cluster: it serves Flux's kinds when connect returns.
func connect(t *testing.T) *cluster {
	t.Helper()
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(known); err != nil {
			t.Fatal(err)
		}
	}
	config := clustertest.Start(t)
	reached, err := client.NewWithWatch(config, client.Options{Scheme: known})
	if err != nil {
		t.Fatal(err)
	}
	definitions, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, definition := range definitions {
		if err := client.IgnoreAlreadyExists(reached.Create(ctx, definition)); err != nil {
			t.Fatal(err)
		}
	}
	if err := established(ctx, reached, len(definitions)); err != nil {
		t.Fatal(err)
	}
	followed, err := fleet.Connect(config)
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{client: reached, fleet: followed, config: config}
}

// established returns when that many definitions are served.
func established(ctx context.Context, reached client.WithWatch, wanted int) error {
	watcher, err := reached.Watch(ctx, &apiextensionsv1.CustomResourceDefinitionList{})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	served := map[string]bool{}
	for event := range watcher.ResultChan() {
		definition, ok := event.Object.(*apiextensionsv1.CustomResourceDefinition)
		if !ok {
			continue
		}
		for _, condition := range definition.Status.Conditions {
			if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
				served[definition.Name] = true
			}
		}
		if len(served) == wanted {
			return nil
		}
	}
	return fmt.Errorf("%d of %d definitions are served: %w", len(served), wanted, ctx.Err())
}

// namespace makes the script's namespace, which goes when the script ends.
func (c *cluster) namespace(env *testscript.Env, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	env.Defer(func() { _ = c.client.Delete(context.Background(), namespace) })
	return c.client.Create(context.Background(), namespace)
}

type command = func(ts *testscript.TestScript, neg bool, args []string)

func (c *cluster) commands() map[string]command {
	return map[string]command{
		"hook": hook,
		"release": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 3 {
				ts.Fatalf("usage: release UNIT STATE OBJECTS")
			}
			ts.Check(keepRelease(c.config, ts.Getenv("NS"), args[0], ts.ReadFile(args[1]), ts.ReadFile(args[2])))
		},
		"apply": func(ts *testscript.TestScript, _ bool, args []string) {
			for _, file := range args {
				ts.Check(c.apply(ts.Getenv("NS"), ts.ReadFile(file)))
			}
		},
		"answer": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 3 {
				ts.Fatalf("usage: answer KIND NAME FILE")
			}
			ts.Check(c.answer(ts, args[0], args[1], ts.ReadFile(args[2])))
		},
		"steady": func(ts *testscript.TestScript, _ bool, args []string) {
			for _, file := range args {
				text := steady(ts.ReadFile(file))
				ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
			}
		},
	}
}

var (
	age   = regexp.MustCompile(`(?m)\b(\d+[ydhms])+( \(x\d+\))?( {3,}|$)`)
	title = regexp.MustCompile(`(?m)^(LAST SEEN|.*AGE)( {3,})`)
	blank = regexp.MustCompile(`(?m) +$`)
)

// steady replaces ages, and the blanks after them and their title, whose number depends on the age.
func steady(text string) string {
	text = age.ReplaceAllString(text, "<age>$2   ")
	text = title.ReplaceAllString(text, "$1   ")
	return blank.ReplaceAllString(text, "")
}

// apply creates objects. A new object's status is what the server makes of it, so the wanted one is
// written after it.
func (c *cluster) apply(namespace, text string) error {
	objects, err := decode(strings.ReplaceAll(text, "$NS", namespace))
	if err != nil {
		return err
	}
	ctx := context.Background()
	for _, u := range objects {
		if u.GetNamespace() == "" {
			u.SetNamespace(namespace)
		}
		status, hasStatus := u.Object["status"]
		if err := c.client.Create(ctx, u); err != nil {
			return fmt.Errorf("creating %s %s: %w", u.GetKind(), u.GetName(), err)
		}
		if !hasStatus {
			continue
		}
		u.Object["status"] = dated(status)
		if err := c.client.Status().Update(ctx, u); err != nil {
			return fmt.Errorf("writing the status of %s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
	return nil
}

// dated gives conditions the time that scripts leave out.
func dated(status any) any {
	fields, _ := status.(map[string]any)
	conditions, _ := fields["conditions"].([]any)
	for _, condition := range conditions {
		if one, ok := condition.(map[string]any); ok {
			one["lastTransitionTime"] = metav1.Now().UTC().Format(time.RFC3339)
		}
	}
	return status
}

func decode(text string) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096)
	var objects []*unstructured.Unstructured
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(&u.Object)
		switch {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, err
		case len(u.Object) > 0:
			objects = append(objects, u)
		}
	}
}

// answer follows one resource in the background and writes a status for each request and generation.
func (c *cluster) answer(ts *testscript.TestScript, word, name, text string) error {
	kinds := fleet.KindsNamed(word)
	if len(kinds) != 1 {
		return fmt.Errorf("%q is not one kind", word)
	}
	var status map[string]any
	if err := yaml.Unmarshal([]byte(text), &status); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ts.Defer(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			ts.Logf("answer %s %s: %v", word, name, err)
		}
	})
	go func() {
		selection := fleet.Selection{Namespace: ts.Getenv("NS"), Names: []string{name}}
		done <- c.fleet.Follow(ctx, kinds, selection, func(change fleet.Change) (bool, error) {
			if change.Deleted {
				return true, nil
			}
			return false, c.reply(ctx, change.Resource, status)
		})
	}()
	return nil
}

// reply writes the status unless it stands there already.
func (c *cluster) reply(ctx context.Context, resource fleet.Resource, status map[string]any) error {
	token := resource.Object.GetAnnotations()["reconcile.fluxcd.io/requestedAt"]
	generation := resource.Object.GetGeneration()
	if resource.Status.GetLastHandledReconcileRequest() == token && resource.Ready().ObservedGeneration == generation || resource.Spec.Suspend {
		return nil
	}
	u := resource.Object.DeepCopy()
	answer := runtime.DeepCopyJSON(status)
	answer["observedGeneration"] = generation
	if token != "" {
		answer["lastHandledReconcileAt"] = token
	}
	for _, condition := range answer["conditions"].([]any) {
		condition.(map[string]any)["observedGeneration"] = generation
	}
	u.Object["status"] = dated(answer)
	return client.IgnoreNotFound(c.client.Status().Update(ctx, u))
}
