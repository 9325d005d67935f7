package install_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	manifests "holdfast.dev/holdfast/config/install"
	"holdfast.dev/holdfast/internal/cli/install"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/model/object"
)

const namespace = "delivery"

var (
	controller = object.Ref{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: namespace, Name: manifests.Deployment}
	delivery   = object.Ref{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding", Name: manifests.Delivery}
	unit       = object.Ref{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Kind: "Kustomization", Namespace: namespace, Name: "apps"}
	delivered  = object.Ref{Version: "v1", Kind: "ConfigMap", Namespace: "default", Name: "settings"}
)

// TestLife installs in a real cluster, updates, and takes it out again in both ways.
func TestLife(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	w := world{t: t, ctx: ctx}
	var err error
	if w.cluster, err = kube.Connect("", clustertest.Start(t), kube.Options{}); err != nil {
		t.Fatal(err)
	}
	options := manifests.Options{Image: "registry.example.org/holdfast-controller:1", Namespace: namespace}
	first := w.install(options)
	if first[0] != "Namespace/delivery" || !slices.Contains(first, controller.String()) || !w.has(delivery) {
		t.Errorf("installed %q", first)
	}
	w.apply(unit, `"metadata":{"finalizers":["finalizers.fluxcd.io"]},"spec":{"interval":"1h","prune":true,"sourceRef":{"kind":"GitRepository","name":"none"}}`)
	w.apply(delivered, `"data":{"color":"blue"}`)

	options.DefaultServiceAccount = "tenant"
	if again := w.install(options); slices.Contains(again, delivery.String()) || w.has(delivery) {
		t.Errorf("the right to deliver is left where no unit needs it: %q", again)
	}
	var gone []string
	removed := func(ref object.Ref) { gone = append(gone, ref.String()) }
	if err := install.Remove(ctx, w.cluster, namespace, removed); err != nil {
		t.Fatal(err)
	}
	if gone[0] != controller.String() || w.has(controller) || !w.has(unit) || !w.has(delivered) {
		t.Errorf("removed %q", gone)
	}
	if err := install.RemoveAll(ctx, w.cluster, namespace, removed); err != nil {
		t.Fatal(err)
	}
	if gone[len(gone)-1] != "Namespace/delivery" || !w.has(delivered) {
		t.Errorf("removed %q", gone)
	}
	if w.has(object.Ref{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition", Name: "kustomizations.kustomize.toolkit.fluxcd.io"}) {
		t.Error("the definitions are left")
	}
}

// TestRival: a cluster that Flux serves is not served twice.
func TestRival(t *testing.T) {
	w := world{t: t, ctx: context.Background()}
	var err error
	if w.cluster, err = kube.Connect("", clustertest.Start(t), kube.Options{}); err != nil {
		t.Fatal(err)
	}
	flux := object.Ref{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: clustertest.Namespace(t), Name: "kustomize-controller"}
	w.apply(flux, `"metadata":{"labels":{"app.kubernetes.io/part-of":"flux"}},"spec":{"replicas":1,"selector":{"matchLabels":{"app":"flux"}},
		"template":{"metadata":{"labels":{"app":"flux"}},"spec":{"containers":[{"name":"manager","image":"flux"}]}}}`)
	defer func() { _ = w.cluster.Delete(w.ctx, flux, kube.DeleteOptions{}) }()
	var rival *install.RivalError
	err = install.Apply(w.ctx, w.cluster, manifests.Options{Image: "x", Namespace: "other"}, func(object.Ref) {})
	if !errors.As(err, &rival) || !strings.Contains(err.Error(), flux.Namespace+"/kustomize-controller") {
		t.Errorf("installing beside Flux: %v", err)
	}
}

type world struct {
	t       *testing.T
	ctx     context.Context
	cluster *kube.Cluster
}

// install installs, waits for the controller, and returns what was applied.
func (w *world) install(o manifests.Options) []string {
	w.t.Helper()
	var applied []string
	if err := install.Apply(w.ctx, w.cluster, o, func(ref object.Ref) { applied = append(applied, ref.String()) }); err != nil {
		w.t.Fatal(err)
	}
	if err := install.Await(w.ctx, w.cluster, o.Namespace); err != nil {
		w.t.Fatal(err)
	}
	return applied
}

func (w *world) apply(ref object.Ref, fields string) {
	w.t.Helper()
	body := map[string]any{}
	if err := json.Unmarshal([]byte("{"+fields+"}"), &body); err != nil {
		w.t.Fatal(err)
	}
	body["apiVersion"], body["kind"] = ref.GVK().GroupVersion().String(), ref.Kind
	metadata, _ := body["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata["name"], metadata["namespace"], body["metadata"] = ref.Name, ref.Namespace, metadata
	raw, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.cluster.Apply(w.ctx, ref, raw, kube.ApplyOptions{Manager: "test"}); err != nil {
		w.t.Fatalf("applying %s: %v", ref, err)
	}
}

func (w *world) has(ref object.Ref) bool {
	w.t.Helper()
	_, err := w.cluster.Get(w.ctx, ref)
	if err != nil && !apierrors.IsNotFound(err) {
		w.t.Fatal(err)
	}
	return err == nil
}
