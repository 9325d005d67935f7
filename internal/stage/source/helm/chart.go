package helm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	helmchart "helm.sh/helm/v4/pkg/chart/v2"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/model/chartfile"
	"holdfast.dev/holdfast/internal/model/tree"
)

// Chart is a chart as its files, which can be changed before it becomes an artifact.
type Chart struct {
	Metadata *helmchart.Metadata
	files    map[string][]byte // by their name within the chart
	// ValuesFiles are those that were merged, and Dependencies how many charts were put in.
	ValuesFiles  []string
	Dependencies int
	// Packaged says that the chart is not as it was found.
	Packaged bool
}

// Unpack reads a packed chart.
func Unpack(packed []byte) (*Chart, error) {
	files, err := archive.LoadArchiveFiles(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpacking chart: %w", err)
	}
	return chartOf(files)
}

// Open reads a chart of a tree: a directory, or a packed chart.
func Open(t tree.Tree, at string) (*Chart, error) {
	if _, isFile := t.Index().Find(at); isFile {
		packed, err := t.Read(at)
		if err != nil {
			return nil, fmt.Errorf("reading chart %s: %w", at, err)
		}
		return Unpack(packed)
	}
	files, err := chartfile.Files(t, at)
	if err != nil {
		return nil, err
	}
	c, err := chartOf(files)
	if err == nil {
		c.Packaged = true
	}
	return c, err
}

func chartOf(files []*archive.BufferedFile) (*Chart, error) {
	c := &Chart{files: make(map[string][]byte, len(files))}
	for _, file := range files {
		c.files[file.Name] = file.Data
	}
	var err error
	c.Metadata, err = metadataOf(c.files)
	return c, err
}

// Describe returns what a chart of a tree says of itself, without reading the rest.
func Describe(t tree.Tree, at string) (*helmchart.Metadata, error) {
	if _, isFile := t.Index().Find(at); isFile {
		c, err := Open(t, at)
		if err != nil {
			return nil, err
		}
		return c.Metadata, nil
	}
	root, _, err := chartfile.Root(t, at)
	if err != nil {
		return nil, err
	}
	text, err := t.Read(path.Join(root, chartfile.Metadata))
	if err != nil {
		return nil, err
	}
	return metadataOf(map[string][]byte{chartfile.Metadata: text})
}

const (
	requirements     = "requirements.yaml"
	requirementsLock = "requirements.lock"
	chartLock        = "Chart.lock"
	valuesFile       = "values.yaml"
)

// metadataOf reads Chart.yaml, and the file that dependencies were in before.
func metadataOf(files map[string][]byte) (*helmchart.Metadata, error) {
	text, found := files[chartfile.Metadata]
	if !found {
		return nil, fmt.Errorf("%w: it has no file %s", chartfile.ErrNone, chartfile.Metadata)
	}
	metadata := &helmchart.Metadata{}
	if err := yaml.Unmarshal(text, metadata); err != nil {
		return nil, fmt.Errorf("reading %s: %w", chartfile.Metadata, err)
	}
	if metadata.APIVersion == "" {
		metadata.APIVersion = helmchart.APIVersionV1
	}
	if err := yaml.Unmarshal(files[requirements], metadata); err != nil {
		return nil, fmt.Errorf("reading %s: %w", requirements, err)
	}
	if err := metadata.Validate(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", chartfile.Metadata, err)
	}
	return metadata, nil
}

// Tagged returns a version with build metadata, as a HelmChart's revision has it; nothing is added where there
// is none.
func Tagged(version, build string) (string, error) {
	if build == "" {
		return version, nil
	}
	parsed, err := semver.NewVersion(version)
	if err != nil {
		return "", fmt.Errorf("failed to parse version from chart metadata as SemVer: %w", err)
	}
	tagged, err := parsed.SetMetadata(build)
	if err != nil {
		return "", fmt.Errorf("failed to set SemVer metadata on chart version: %w", err)
	}
	return tagged.String(), nil
}

// SetVersion gives the chart another version.
func (c *Chart) SetVersion(version string) error {
	if c.Metadata.Version == version {
		return nil
	}
	var content map[string]any
	if err := yaml.Unmarshal(c.files[chartfile.Metadata], &content); err != nil {
		return fmt.Errorf("reading %s: %w", chartfile.Metadata, err)
	}
	content["version"] = version
	text, err := yaml.Marshal(content)
	if err != nil {
		return fmt.Errorf("writing %s: %w", chartfile.Metadata, err)
	}
	c.files[chartfile.Metadata], c.Metadata.Version, c.Packaged = text, version, true
	return nil
}

// ErrNoValues says that a values file is not there.
var ErrNoValues = errors.New("no values file found")

// MergeValues makes the chart's default values of several files, which read finds. Those that are missing are
// an error, or left out.
func (c *Chart) MergeValues(files []string, ignoreMissing bool, read func(name string) ([]byte, error)) error {
	merged := map[string]any{}
	c.ValuesFiles = nil
	for _, file := range files {
		text, err := read(file)
		if err != nil {
			if ignoreMissing {
				continue
			}
			return fmt.Errorf("%w at path '%s'", ErrNoValues, file)
		}
		content := map[string]any{}
		if err := yaml.Unmarshal(text, &content); err != nil {
			return fmt.Errorf("unmarshaling values from '%s' failed: %w", file, err)
		}
		merged = over(merged, content)
		c.ValuesFiles = append(c.ValuesFiles, file)
	}
	if len(c.ValuesFiles) == 0 {
		return nil
	}
	text, err := yaml.Marshal(merged)
	if err != nil {
		return fmt.Errorf("writing values: %w", err)
	}
	c.files[valuesFile], c.Packaged = text, true
	return nil
}

// File returns a file of the chart.
func (c *Chart) File(name string) ([]byte, error) {
	text, found := c.files[path.Clean(name)]
	if !found {
		return nil, ErrNoValues
	}
	return text, nil
}

func over(under, upper map[string]any) map[string]any {
	for key, value := range upper {
		table, isTable := value.(map[string]any)
		below, isBelow := under[key].(map[string]any)
		if isTable && isBelow {
			value = over(below, table)
		}
		under[key] = value
	}
	return under
}

// Entries returns the files as an artifact has them: in a directory with the chart's name, as Helm packs it.
func (c *Chart) Entries() []tree.Entry {
	names := make([]string, 0, len(c.files))
	for name := range c.files {
		names = append(names, name)
	}
	slices.Sort(names)
	entries := make([]tree.Entry, 0, len(names))
	for _, name := range names {
		sum := sha256.Sum256(c.files[name])
		entries = append(entries, tree.Entry{
			Path: c.Metadata.Name + "/" + name, Size: int64(len(c.files[name])), Mode: 0o644,
			Hash: "sha256:" + hex.EncodeToString(sum[:]),
		})
	}
	return entries
}

// Read opens a file of the artifact.
func (c *Chart) Read(entry tree.Entry) (io.ReadCloser, error) {
	text, found := c.files[strings.TrimPrefix(entry.Path, c.Metadata.Name+"/")]
	if !found {
		return nil, fmt.Errorf("chart %s has no file %s", c.Metadata.Name, entry.Path)
	}
	return io.NopCloser(bytes.NewReader(text)), nil
}
