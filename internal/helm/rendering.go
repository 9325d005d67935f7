package helm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/helm/storage"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/stage/render/chart"
)

// Policies are what installs and upgrades may be told apart by.
type Policies struct {
	CRDs       chart.CRDPolicy
	SkipSchema bool
}

// Delivery is one release, as one pass of the line sees it. It is the rendering and the ledger of its unit.
type Delivery struct {
	Renderer *chart.Renderer
	Storage  *storage.Storage
	// Input is what is rendered, but for what follows from Helm's storage.
	Input chart.Input
	// Configured is the digest of the values, as Flux writes it.
	Configured string
	// Install and Upgrade are the policies of the two actions.
	Install, Upgrade Policies
	// Capabilities tells what the cluster can do; it is asked before a render.
	Capabilities func(ctx context.Context) (chart.Capabilities, error)
	// MaxHistory is how many records are kept; 0 is all.
	MaxHistory int
	// OCIDigest is that of the artifact that the chart came from, if any.
	OCIDigest string
	// Book is what is remembered of the records.
	Book *Book

	heads  []storage.Head
	looked bool
	out    *chart.Output
}

// The Delivery is both.
var (
	_ pipeline.Rendering = (*Delivery)(nil)
	_ pipeline.Ledger    = (*Delivery)(nil)
)

// Fingerprint implements pipeline.Rendering. Templates may be random and may look into the cluster, and they
// see the number of the revision: what goes in is what tells one wish from the next.
func (d *Delivery) Fingerprint() string {
	raw, err := json.Marshal(struct {
		Chart, Version, Name, Namespace, Values string
		PostRenderers                           []chart.PostRenderer
		Strategy                                chart.Strategy
		Labels, Annotations                     map[string]string
	}{
		d.Input.Chart.Digest(), d.Input.ChartVersion, d.Input.Name, d.Input.Namespace, d.Configured,
		d.Input.PostRenderers, d.Input.Strategy, d.Input.Labels, d.Input.Annotations,
	})
	if err != nil {
		return "" // strings always encode
	}
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Secrets implements pipeline.Rendering.
func (d *Delivery) Secrets() []redact.Text { return d.Input.Secret }

// Render implements pipeline.Rendering.
func (d *Delivery) Render(ctx context.Context) (pipeline.Rendered, error) {
	if err := d.look(ctx); err != nil {
		return pipeline.Rendered{}, fault.Because("ArtifactFailed", err)
	}
	input := d.Input
	input.Revision, input.Upgrade = d.next(), d.upgrades()
	policies := d.Install
	if input.Upgrade {
		policies = d.Upgrade
	}
	input.CRDs, input.SkipSchema = policies.CRDs, policies.SkipSchema
	var err error
	if input.Capabilities, err = d.Capabilities(ctx); err != nil {
		return pipeline.Rendered{}, fmt.Errorf("asking what the cluster can do: %w", err)
	}
	out, err := d.Renderer.Render(ctx, input)
	if err != nil {
		return pipeline.Rendered{}, err
	}
	d.out = &out
	objects, err := gathered(out, input.Owner)
	return pipeline.Rendered{Objects: objects, Fingerprint: d.Fingerprint(), Revealed: out.Revealed}, err
}

// gathered returns all objects of an output in one list. What their rules are is written on them, since it has
// to be known of what is kept of a release, too.
func gathered(out chart.Output, owner object.Owner) ([]object.Object, error) {
	var all []object.Object
	for _, one := range out.CRDs {
		marks := map[string]string{object.KeyHelmPolicy: "keep"} // Helm never deletes what came from crds/
		if one.Rules.IfNotPresent {
			marks[object.KeySSA] = "IfNotPresent"
		}
		marked, err := marked(one, nil, marks)
		if err != nil {
			return nil, err
		}
		all = append(all, marked)
	}
	all = append(all, out.Objects...)
	labels := map[string]string{object.HelmReleases.NameLabel(): owner.Name, object.HelmReleases.NamespaceLabel(): owner.Namespace}
	for _, hook := range out.Hooks {
		marked, err := marked(hook.Object, labels, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, marked)
	}
	object.Sort(all)
	return all, nil
}

// marked returns an object with labels and annotations added.
func marked(one object.Object, labels, annotations map[string]string) (object.Object, error) {
	u, err := one.Decode()
	if err != nil {
		return object.Object{}, err
	}
	add(u, "labels", labels)
	add(u, "annotations", annotations)
	made, err := object.New(u, one.Source)
	made.Dropped = one.Dropped
	return made, err
}

func add(u *unstructured.Unstructured, field string, values map[string]string) {
	for key, value := range values {
		_ = unstructured.SetNestedField(u.Object, value, "metadata", field, key) // metadata is a map
	}
}
