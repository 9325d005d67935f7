package chart

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	helmcommon "helm.sh/helm/v4/pkg/chart/common"
	chartutil "helm.sh/helm/v4/pkg/chart/common/util"
	helmchart "helm.sh/helm/v4/pkg/chart/v2"
	helmutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/render/chart/budget"
	"holdfast.dev/holdfast/internal/stage/render/kustomize"
	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

// The reasons that conditions show.
const (
	reasonArtifactFailed = "ArtifactFailed"
	reasonRenderFailed   = "RenderFailed"
)

// Options shape a Renderer. The zero value is the right default.
type Options struct {
	// CacheBytes is about how much memory may hold charts and what was rendered; 0 means 256 MiB.
	CacheBytes int64
	// Time is how long one render may take; 0 means 30 s.
	Time time.Duration
	// OutputBytes is how large what a chart yields may be; 0 means 32 MiB.
	OutputBytes int64
	// Budget bounds what templates do on the way.
	Budget budget.Limits
	// Count is told of each render, and whether it was known already; nil is nobody.
	Count func(known bool)
}

const (
	defaultCache  = 256 << 20
	defaultTime   = 30 * time.Second
	defaultOutput = 32 << 20
)

// Renderer renders releases. It is safe for concurrent use, and renders do not wait for each other.
type Renderer struct {
	options Options
	charts  *recent[string, *Chart]
	outputs *recent[object.Owner, rendered]
	builder *kustomize.Builder
}

// rendered is the last output of an owner.
type rendered struct {
	input string
	out   Output
}

// New returns a Renderer with nothing in memory.
func New(options Options) *Renderer {
	if options.CacheBytes <= 0 {
		options.CacheBytes = defaultCache
	}
	if options.Time <= 0 {
		options.Time = defaultTime
	}
	if options.OutputBytes <= 0 {
		options.OutputBytes = defaultOutput
	}
	if options.Count == nil {
		options.Count = func(bool) {}
	}
	return &Renderer{
		options: options,
		charts:  newRecent[string, *Chart](options.CacheBytes / 2),
		outputs: newRecent[object.Owner, rendered](options.CacheBytes / 2),
		builder: kustomize.NewBuilder(manifest.Limits{}, options.CacheBytes/16),
	}
}

// Forget drops what is kept for a release that is gone.
func (r *Renderer) Forget(owner object.Owner) { r.outputs.forget(owner) }

// Render renders a release. Errors carry the reason that a condition shows, and no value of a Secret.
func (r *Renderer) Render(ctx context.Context, in Input) (Output, error) {
	key, err := in.digest()
	if err != nil {
		return Output{}, fault.Stall(reasonRenderFailed, err)
	}
	if known, found := r.outputs.get(in.Owner); found && known.input == key {
		r.options.Count(true)
		return known.out, nil
	}
	r.options.Count(false)
	limited, cancel := context.WithTimeoutCause(ctx, r.options.Time, fmt.Errorf("%w: it took longer than %s", budget.ErrSpent, r.options.Time))
	defer cancel()
	out, err := r.apart(limited, in)
	if err != nil {
		if ctx.Err() != nil {
			return Output{}, ctx.Err()
		}
		return Output{}, fault.Because(reasonRenderFailed, masked(fmt.Errorf("rendering chart %s: %w", in.Chart.describe(), err), in.Secret))
	}
	fresh := out
	out.Cached = true
	r.outputs.put(in.Owner, rendered{key, out}, out.bytes())
	return fresh, nil
}

func (c *Chart) describe() string {
	return c.plain.Metadata.Name + " " + c.plain.Metadata.Version
}

// masked takes values of Secrets out of an error. The chain stays as it is where there is nothing to hide.
func masked(err error, secret []redact.Text) error {
	text := redact.Out(err.Error(), secret)
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// apart renders in a goroutine of its own, so that a template that does not end keeps nobody. It ends at the
// next thing it does that counts.
func (r *Renderer) apart(ctx context.Context, in Input) (Output, error) {
	type result struct {
		out Output
		err error
	}
	done := make(chan result, 1)
	go func() {
		var got result
		defer func() {
			if cause := recover(); cause != nil {
				got = result{err: fmt.Errorf("it panicked: %v", cause)}
			}
			done <- got
		}()
		got.out, got.err = r.render(ctx, in)
	}()
	select {
	case got := <-done:
		if got.err != nil && ctx.Err() != nil {
			return Output{}, context.Cause(ctx)
		}
		return got.out, got.err
	case <-ctx.Done():
		return Output{}, context.Cause(ctx)
	}
}

func (r *Renderer) render(ctx context.Context, in Input) (Output, error) {
	if err := helmutil.ValidateReleaseName(in.Name); err != nil {
		return Output{}, fmt.Errorf("release name %q: %w", in.Name, err)
	}
	if err := mayInstall(in.Chart.plain); err != nil {
		return Output{}, err
	}
	capabilities, err := capabilitiesOf(in.Capabilities)
	if err != nil {
		return Output{}, err
	}
	if wanted := in.Chart.plain.Metadata.KubeVersion; wanted != "" && !helmutil.IsCompatibleRange(wanted, capabilities.KubeVersion.String()) {
		return Output{}, fmt.Errorf("chart requires kubeVersion: %s which is incompatible with Kubernetes %s", wanted, capabilities.KubeVersion.Version)
	}
	chart := fresh(in.Chart.metered)
	if in.ChartVersion != "" {
		chart.Metadata.Version = in.ChartVersion
	}
	if err := helmutil.ProcessDependencies(chart, in.Values); err != nil {
		return Output{}, fmt.Errorf("processing dependencies: %w", err)
	}
	input, err := chartutil.ToRenderValuesWithSchemaValidation(chart, in.Values, helmcommon.ReleaseOptions{
		Name: in.Name, Namespace: in.Namespace, Revision: in.Revision, IsUpgrade: in.Upgrade, IsInstall: !in.Upgrade,
	}, capabilities, true)
	if err != nil {
		return Output{}, fmt.Errorf("merging values: %w", err)
	}
	if !in.SkipSchema {
		if err := meetsSchema(chart, input); err != nil {
			return Output{}, err
		}
	}
	made, err := r.execute(ctx, in, chart, input)
	if err != nil {
		return Output{}, err
	}
	documents, err := documentsOf(made.files)
	if err != nil {
		return Output{}, err
	}
	if documents, err = r.postRender(ctx, in, documents); err != nil {
		return Output{}, err
	}
	return finish(in, stored(in, chart), documents, made)
}

func capabilitiesOf(wanted Capabilities) (*helmcommon.Capabilities, error) {
	capabilities := helmcommon.DefaultCapabilities.Copy()
	if wanted.KubeVersion != "" {
		version, err := helmcommon.ParseKubeVersion(wanted.KubeVersion)
		if err != nil {
			return nil, fmt.Errorf("reading the cluster's version %q: %w", wanted.KubeVersion, err)
		}
		capabilities.KubeVersion = *version
	}
	if len(wanted.APIVersions) > 0 {
		capabilities.APIVersions = wanted.APIVersions
	}
	return capabilities, nil
}

// executed is what the templates made.
type executed struct {
	files    map[string]string
	notes    string
	lookedUp bool
	crds     []helmchart.CRD
}

const notesFile = "NOTES.txt"

// execute runs the templates.
func (r *Renderer) execute(ctx context.Context, in Input, chart *helmchart.Chart, input helmcommon.Values) (executed, error) {
	made := executed{crds: chart.CRDObjects()}
	meter := budget.New(ctx, r.options.Budget)
	funcs := meter.Funcs()
	funcs["lookup"] = func(apiVersion, kind, namespace, name string) (map[string]any, error) {
		made.lookedUp = true
		if in.Lookup == nil {
			return map[string]any{}, nil
		}
		return in.Lookup(ctx, apiVersion, kind, namespace, name)
	}
	helm := engine.Engine{CustomTemplateFuncs: funcs}
	files, err := helm.Render(chart, input)
	if err != nil {
		return made, budget.Readable(err)
	}
	total := int64(0)
	for name, content := range files {
		if total += int64(len(content)); total > r.options.OutputBytes {
			return made, fmt.Errorf("%w: what they yield is larger than %d MiB", budget.ErrSpent, r.options.OutputBytes>>20)
		}
		if strings.HasSuffix(name, notesFile) {
			if name == path.Join(chart.Name(), "templates", notesFile) {
				made.notes = content
			}
			delete(files, name)
		}
	}
	made.files = files
	return made, nil
}
