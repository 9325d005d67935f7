package chart

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	helmcommon "helm.sh/helm/v4/pkg/chart/common"
	helmchart "helm.sh/helm/v4/pkg/chart/v2"

	"holdfast.dev/holdfast/internal/model/chartfile"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render/chart/budget"
)

// Chart is a loaded chart. It is immutable, and shared by all releases of it.
type Chart struct {
	digest  string
	plain   *helmchart.Chart // as it was read
	metered *helmchart.Chart // the same, with templates that count what they do
	bytes   int64
}

// Digest identifies the files of the chart.
func (c *Chart) Digest() string { return c.digest }

// Metadata returns what the chart says of itself. The caller must not modify it.
func (c *Chart) Metadata() *helmchart.Metadata { return c.plain.Metadata }

// Open returns the chart in a directory of a tree, "" for its root. A tree that holds a packed chart as it is,
// in one directory, is opened as well.
func (r *Renderer) Open(t tree.Tree, dir string) (*Chart, error) {
	digest, err := chartfile.Digest(t, dir)
	if err != nil {
		return nil, fault.Because(reasonArtifactFailed, err)
	}
	return r.loaded(digest, func() (*helmchart.Chart, error) { return chartfile.Load(t, dir) })
}

// Unpack returns a chart that is packed in a .tgz.
func (r *Renderer) Unpack(packed []byte) (*Chart, error) {
	sum := sha256.Sum256(packed)
	return r.loaded("tgz:"+hex.EncodeToString(sum[:]), func() (*helmchart.Chart, error) { return chartfile.Read(packed) })
}

func (r *Renderer) loaded(digest string, load func() (*helmchart.Chart, error)) (*Chart, error) {
	if known, found := r.charts.get(digest); found {
		return known, nil
	}
	plain, err := load()
	if err != nil {
		return nil, fault.Because(reasonArtifactFailed, err)
	}
	plain.Raw = nil
	fresh := &Chart{digest: digest, plain: plain}
	fresh.metered = meteredCopy(plain, &fresh.bytes)
	r.charts.put(digest, fresh, fresh.bytes)
	return fresh, nil
}

// meteredCopy instruments the templates of a chart and of its subcharts.
func meteredCopy(plain *helmchart.Chart, bytes *int64) *helmchart.Chart {
	metered := *plain
	metered.Raw = nil
	metered.Templates = make([]*helmcommon.File, 0, len(plain.Templates))
	for _, file := range plain.Templates {
		if file == nil {
			continue
		}
		metered.Templates = append(metered.Templates, &helmcommon.File{Name: file.Name, Data: []byte(budget.Instrument(string(file.Data)))})
		*bytes += 3 * int64(len(file.Data))
	}
	for _, file := range plain.Files {
		*bytes += int64(len(file.Data))
	}
	*bytes += 4*int64(len(plain.Schema)) + 8<<10
	below := make([]*helmchart.Chart, 0, len(plain.Dependencies()))
	for _, dependency := range plain.Dependencies() {
		dependency.Raw = nil
		below = append(below, meteredCopy(dependency, bytes))
	}
	metered.SetDependencies(below...)
	return &metered
}

// fresh returns a copy of the chart that Helm may change: it takes out what values switch off, and puts
// imported values in. Templates and files are shared.
func fresh(from *helmchart.Chart) *helmchart.Chart {
	copied := *from
	metadata := *from.Metadata
	if metadata.Dependencies != nil {
		metadata.Dependencies = make([]*helmchart.Dependency, 0, len(from.Metadata.Dependencies))
		for _, one := range from.Metadata.Dependencies {
			if one == nil {
				continue
			}
			dependency := *one
			metadata.Dependencies = append(metadata.Dependencies, &dependency)
		}
	}
	copied.Metadata = &metadata
	below := make([]*helmchart.Chart, 0, len(from.Dependencies()))
	for _, dependency := range from.Dependencies() {
		below = append(below, fresh(dependency))
	}
	copied.SetDependencies(below...)
	return &copied
}

// mayInstall refuses charts that are no application, or whose dependencies are not in them.
func mayInstall(c *helmchart.Chart) error {
	if kind := c.Metadata.Type; kind != "" && kind != "application" {
		return fmt.Errorf("%s charts are not installable", kind)
	}
	var missing []string
	for _, wanted := range c.Metadata.Dependencies {
		if wanted == nil {
			continue
		}
		there := false
		for _, held := range c.Dependencies() {
			there = there || held.Name() == wanted.Name
		}
		if !there {
			missing = append(missing, wanted.Name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("found in Chart.yaml, but missing in charts/ directory: %s", strings.Join(missing, ", "))
	}
	return nil
}
