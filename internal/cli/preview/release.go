package preview

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/controller/helmrelease"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render/chart"
	"holdfast.dev/holdfast/internal/stage/render/chart/values"
	"holdfast.dev/holdfast/internal/stage/source/helm"
)

// ReleaseKind is the Kind of a Unit that is a Helm release.
const ReleaseKind = helmv2.HelmReleaseKind

// noteCharts remembers releases, and what says where their charts are.
func (w *walk) noteCharts(objects []object.Object) {
	for _, o := range objects {
		switch {
		case o.Group == helmv2.GroupVersion.Group && o.Kind == helmv2.HelmReleaseKind:
			release := &helmv2.HelmRelease{}
			if err := json.Unmarshal(o.JSON, release); err != nil {
				w.find(Finding{Unit: object.Owner{Namespace: o.Namespace, Name: o.Name}, Class: Broken, Text: fmt.Sprintf("reading %s: %v", o.Ref, err)})
				continue
			}
			w.releases = append(w.releases, release)
		case o.Group == sourcev1.GroupVersion.Group && o.Kind == sourcev1.HelmChartKind:
			one := &sourcev1.HelmChart{}
			if json.Unmarshal(o.JSON, one) == nil {
				w.charts[Source{o.Kind, o.Namespace, o.Name}] = one
			}
		}
	}
}

// buildReleases renders the releases that the tree delivers. Each is built when everything else is: what its
// values come from may be delivered by any unit.
func (w *walk) buildReleases(ctx context.Context) error {
	for _, release := range w.releases {
		if err := w.buildRelease(ctx, release); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) buildRelease(ctx context.Context, release *helmv2.HelmRelease) error {
	owner := object.Owner{Namespace: release.Namespace, Name: release.Name}
	failed := func(class Class, text, hint string) {
		w.find(Finding{Unit: owner, Class: class, Text: text, Hint: hint})
	}
	loaded, source, at, err := w.chartOf(ctx, release)
	var elsewhere *elsewhereError
	switch {
	case errors.As(err, &elsewhere):
		failed(Left, elsewhere.Error(), fmt.Sprintf("name a folder that holds the chart with --source %s=DIR", elsewhere.source.Name))
		return nil
	case err != nil:
		failed(Broken, err.Error(), "")
		return ctx.Err()
	}
	merged, missing, err := w.valuesOf(release)
	switch {
	case err != nil:
		failed(Broken, err.Error(), "")
		return nil
	case len(missing) > 0 && !w.AllowMissing:
		failed(Unknown, "its values cannot be known: "+strings.Join(missing, ", "), "add it to the tree, or build without: --allow-missing")
		return nil
	}
	input := helmrelease.Input(release)
	input.Chart, input.Values, input.Secret = loaded, merged.Values, merged.Secret
	out, err := w.Charts.Render(ctx, input)
	if err != nil {
		failed(Broken, err.Error(), "")
		return ctx.Err()
	}
	objects := slices.Concat(out.CRDs, out.Objects)
	for _, hook := range out.Hooks {
		objects = append(objects, hook.Object)
	}
	w.result.Units = append(w.result.Units, Unit{
		Owner: owner, Kind: ReleaseKind, Path: at, Source: source, Objects: objects,
		Placeholders: missing, revealed: out.Revealed,
	})
	return nil
}

// elsewhereError says that a chart is not in the trees at hand.
type elsewhereError struct {
	chart, version string
	source         Source
}

func (e *elsewhereError) Error() string {
	version := ""
	if e.version != "" && e.version != "*" {
		version = " " + e.version
	}
	return fmt.Sprintf("its chart %s%s is in %s, which is not in this tree: its objects are not shown", e.chart, version, e.source)
}

// chartOf finds the chart of a release as the controllers of charts do, where its source is at hand.
func (w *walk) chartOf(ctx context.Context, release *helmv2.HelmRelease) (loaded *chart.Chart, source Source, at string, err error) {
	wanted := sourcev1.HelmChartSpec{}
	switch {
	case release.Spec.Chart != nil:
		spec := release.Spec.Chart.Spec
		wanted = sourcev1.HelmChartSpec{
			Chart: spec.Chart, Version: spec.Version, ValuesFiles: spec.ValuesFiles, IgnoreMissingValuesFiles: spec.IgnoreMissingValuesFiles,
			SourceRef: sourcev1.LocalHelmChartSourceReference{Kind: spec.SourceRef.Kind, Name: spec.SourceRef.Name},
		}
		source = Source{spec.SourceRef.Kind, cmp.Or(spec.SourceRef.Namespace, release.Namespace), spec.SourceRef.Name}
	case release.Spec.ChartRef != nil:
		ref := release.Spec.ChartRef
		source = Source{ref.Kind, cmp.Or(ref.Namespace, release.Namespace), ref.Name}
		if made := w.charts[source]; made != nil {
			wanted = made.Spec
			source = Source{made.Spec.SourceRef.Kind, made.Namespace, made.Spec.SourceRef.Name}
		}
	default:
		return nil, source, "", errors.New("it names no chart: spec.chart or spec.chartRef must be set")
	}
	files, found := w.treeOf(source)
	if !found {
		return nil, source, "", &elsewhereError{cmp.Or(wanted.Chart, "of "+source.Name), wanted.Version, source}
	}
	at = wanted.Chart
	if source.Kind != sourcev1.GitRepositoryKind && source.Kind != sourcev1.BucketKind {
		at = folderOf(files, wanted.Chart)
	}
	loaded, err = w.load(ctx, files, at, wanted, source)
	return loaded, source, at, err
}

// folderOf finds a chart by its name in a folder that stands for a repository of charts.
func folderOf(files tree.Tree, name string) string {
	if files.Index().IsDir(name) && name != "" {
		return name
	}
	return ""
}

func (w *walk) load(ctx context.Context, files tree.Tree, at string, wanted sourcev1.HelmChartSpec, source Source) (*chart.Chart, error) {
	made, err := helm.Open(files, at)
	if err != nil {
		return nil, fmt.Errorf("reading its chart in %s: %w", source, err)
	}
	if len(wanted.ValuesFiles) > 0 {
		if err := made.MergeValues(wanted.ValuesFiles, wanted.IgnoreMissingValuesFiles, files.Read); err != nil {
			return nil, fmt.Errorf("reading its chart in %s: %w", source, err)
		}
	}
	away := func(_ context.Context, repository, name, version string) ([]byte, error) {
		return nil, &elsewhereError{name, version, Source{"repository", "", repository}}
	}
	if err := made.AddDependencies(ctx, files, at, away); err != nil {
		var elsewhere *elsewhereError
		if errors.As(err, &elsewhere) {
			return nil, &elsewhereError{"dependency " + elsewhere.chart, elsewhere.version, Source{"the repository", "", elsewhere.source.Name}}
		}
		return nil, fmt.Errorf("reading its chart in %s: %w", source, err)
	}
	return w.Charts.Open(chartTree{made}, "")
}

// chartTree shows a chart as a tree, in the layout of an artifact.
type chartTree struct{ *helm.Chart }

func (t chartTree) Revision() string   { return t.Metadata.Version }
func (t chartTree) Digest() string     { return "" }
func (t chartTree) Index() *tree.Index { return tree.NewIndex(t.Entries()) }

// Read implements tree.Tree.
func (t chartTree) Read(name string) ([]byte, error) {
	content, err := t.Chart.Read(tree.Entry{Path: tree.Clean(name)})
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	_, err = io.Copy(&text, content)
	return text.Bytes(), err
}

// valuesOf puts the values of a release together from what the tree holds, and says what is not there.
func (w *walk) valuesOf(release *helmv2.HelmRelease) (values.Merged, []string, error) {
	var references []values.Reference
	var missing []string
	for _, wish := range release.Spec.ValuesFrom {
		one := values.Reference{
			Kind: wish.Kind, Namespace: release.Namespace, Name: wish.Name, Key: wish.GetValuesKey(),
			TargetPath: wish.TargetPath, Optional: wish.Optional, Literal: wish.Literal,
		}
		held := w.configs[object.Ref{Kind: wish.Kind, Namespace: release.Namespace, Name: wish.Name}]
		one.Data, one.Missing = dataOf(held, one.Key)
		if one.Missing != "" && !one.Optional {
			missing = append(missing, fmt.Sprintf("%s %s/%s: %s", wish.Kind, release.Namespace, wish.Name, one.Missing))
			one.Optional = true // the caller says whether that matters
		}
		references = append(references, one)
	}
	merged, err := values.Merge(references, release.GetValues())
	return merged, missing, err
}

func dataOf(held *unstructured.Unstructured, key string) (data []byte, missing string) {
	if held == nil {
		return nil, "it is not in the tree"
	}
	if encrypted(held) {
		return nil, "it is encrypted"
	}
	text, found, _ := unstructured.NestedString(held.Object, "data", key)
	if !found {
		return nil, "it has no key " + key
	}
	if held.GetKind() != "Secret" {
		return []byte(text), ""
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, "its key " + key + " is not base64"
	}
	return raw, ""
}
