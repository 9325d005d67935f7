package confine

import (
	"fmt"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"strings"

	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

// maxNesting bounds how deep directories of plugins may be nested.
const maxNesting = 50

// Kustomize would fetch URLs over HTTP and clone repositories with a git process, and offers no
// switch for it. So every kustomization file is looked through before kustomize gets to read it,
// and one that names anything outside of the tree is refused.

// FetchesURL tells whether kustomize would load a file from the network.
func FetchesURL(name string) bool {
	parsed, err := url.Parse(name)
	return err == nil && (parsed.Scheme == "http" || parsed.Scheme == "https")
}

var userAt = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]*@`)

// ClonesRepository tells whether kustomize might take the name of a directory for a repository. It
// says so for a few more names than kustomize does.
func ClonesRepository(name string) bool {
	lower := strings.TrimPrefix(strings.ToLower(name), "git::")
	for _, prefix := range []string{"http://", "https://", "ssh://", "file://", "github.com/", "github.com:"} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	return userAt.MatchString(lower) || strings.HasPrefix(strings.ToLower(name), "git::")
}

func refuseRemote(field, name string) error {
	return fmt.Errorf("%s %q is remote: bases and files from outside of the source are not supported; add them to the repository", field, Scrub(name))
}

// Scrub removes what may be a secret from a URL.
func Scrub(name string) string {
	if at := strings.LastIndex(name, "@"); at >= 0 {
		if scheme := strings.Index(name, "://"); scheme >= 0 && scheme < at {
			name = name[:scheme+3] + name[at+1:]
		}
	}
	name, _, _ = strings.Cut(name, "?")
	return name
}

// confined checks that a kustomization in dir stays within the tree and needs no process.
func (f *Files) confined(dir string, k *types.Kustomization) error {
	if len(k.HelmCharts) > 0 || len(k.HelmChartInflationGenerator) > 0 {
		return fmt.Errorf("helmCharts are not supported: deliver charts with a HelmRelease")
	}
	for field, names := range directories(k) {
		for _, name := range names {
			if FetchesURL(name) || ClonesRepository(name) && f.Kind(path.Join(dir, name)) != KindFile {
				return refuseRemote(field, name)
			}
		}
	}
	for field, names := range loadedFiles(k) {
		for _, name := range names {
			if FetchesURL(name) {
				return refuseRemote(field, name)
			}
		}
	}
	for field, entries := range map[string][]string{
		"generators": k.Generators, "transformers": k.Transformers, "validators": k.Validators,
	} {
		for _, entry := range entries {
			if err := f.confinedPlugin(dir, field, entry, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// directories returns the fields that may name a directory or a repository.
func directories(k *types.Kustomization) map[string][]string {
	return map[string][]string{"resource": k.Resources, "base": k.Bases, "component": k.Components}
}

// loadedFiles returns the fields that name files only.
func loadedFiles(k *types.Kustomization) map[string][]string {
	named := map[string][]string{"crd": k.Crds, "configuration": k.Configurations, "openapi": {k.OpenAPI["path"]}}
	for _, patch := range k.PatchesStrategicMerge {
		named["patch"] = append(named["patch"], string(patch))
	}
	for _, patches := range [][]types.Patch{k.Patches, k.PatchesJson6902} {
		for _, patch := range patches {
			named["patch"] = append(named["patch"], patch.Path)
		}
	}
	for _, replacement := range k.Replacements {
		named["replacement"] = append(named["replacement"], replacement.Path)
	}
	for _, generator := range k.ConfigMapGenerator {
		named["generator file"] = append(named["generator file"], PairFiles(generator.KvPairSources)...)
	}
	for _, generator := range k.SecretGenerator {
		named["generator file"] = append(named["generator file"], PairFiles(generator.KvPairSources)...)
	}
	return named
}

// PairFiles returns the files that a generator reads, its "key=path" forms resolved.
func PairFiles(sources types.KvPairSources) []string {
	var names []string
	for _, name := range sources.FileSources {
		names = append(names, fileOfPair(name))
	}
	names = append(names, sources.EnvSources...)
	if sources.EnvSource != "" {
		names = append(names, sources.EnvSource)
	}
	return names
}

func fileOfPair(name string) string {
	if _, file, keyed := strings.Cut(name, "="); keyed {
		return file
	}
	return name
}

// confinedPlugin checks the configuration of a plugin: inline, in a file, or in a directory that
// only lists files. More than that could put a URL where no check would see it.
func (f *Files) confinedPlugin(dir, field, entry string, depth int) error {
	if docs, err := manifest.Parse([]byte(entry)); err == nil && len(docs) > 0 {
		return confinedDocs(field, docs)
	}
	if FetchesURL(entry) || ClonesRepository(entry) {
		return refuseRemote(field, entry)
	}
	full := path.Join(dir, entry)
	if f.Kind(full) == KindFile {
		data, err := f.Content(full)
		if err != nil {
			return err
		}
		if err := f.guard(full, data); err != nil {
			return err
		}
		docs, err := manifest.Parse(data)
		if err != nil {
			return nil //nolint:nilerr // kustomize cannot parse it either, and says so better
		}
		return confinedDocs(field, docs)
	}
	found := f.KustomizationFiles(full)
	if len(found) != 1 || depth > maxNesting {
		return nil
	}
	data, err := f.Content(found[0])
	if err != nil {
		return err
	}
	var k types.Kustomization
	if err := yaml.Unmarshal(data, &k); err != nil {
		return nil //nolint:nilerr // see above
	}
	plain := types.Kustomization{TypeMeta: k.TypeMeta, MetaData: k.MetaData, Resources: k.Resources}
	if !reflect.DeepEqual(&plain, &k) {
		return fmt.Errorf("%s %q: a directory of plugins may only have resources", field, entry)
	}
	for _, listed := range k.Resources {
		if err := f.confinedPlugin(full, field, listed, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// pluginFiles is the union of the fields by which kustomize's own plugins name files.
type pluginFiles struct {
	types.KvPairSources `json:",inline"`
	Path                string                   `json:"path"`
	Paths               []string                 `json:"paths"`
	Replacements        []types.ReplacementField `json:"replacements"`
}

func confinedDocs(field string, docs []*resource.Resource) error {
	for _, doc := range docs {
		text, err := doc.AsYAML()
		if err != nil {
			return fmt.Errorf("reading %s: %w", field, err)
		}
		var plugin pluginFiles
		if err := yaml.Unmarshal(text, &plugin); err != nil {
			continue // a field has another type than the plugin would take, so it loads nothing
		}
		names := append(append([]string{plugin.Path}, plugin.Paths...), PairFiles(plugin.KvPairSources)...)
		for _, replacement := range plugin.Replacements {
			names = append(names, replacement.Path)
		}
		for _, name := range names {
			if FetchesURL(name) {
				return refuseRemote(field, name)
			}
		}
	}
	return nil
}
