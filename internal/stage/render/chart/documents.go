package chart

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"

	helmrelease "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// maxDocuments is how many objects a chart may yield.
const maxDocuments = 20_000

// document is one object that the templates made.
type document struct {
	source string // template that it came from
	order  int    // its place among all
	object *unstructured.Unstructured
}

// isHook tells whether Helm keeps the document apart from the release's objects.
func (d document) isHook() bool {
	_, found := d.object.GetAnnotations()[helmrelease.HookAnnotation]
	return found
}

// documentsOf reads what the templates made, in the order of the files.
func documentsOf(files map[string]string) ([]document, error) {
	var found []document
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasPrefix(path.Base(name), "_") {
			continue
		}
		below, err := split(name, files[name])
		if err != nil {
			return nil, err
		}
		found = append(found, below...)
		if len(found) > maxDocuments {
			return nil, fmt.Errorf("the chart yields more than %d objects", maxDocuments)
		}
	}
	for i := range found {
		found[i].order = i
	}
	return found, nil
}

// split reads the objects of one file, as Helm splits it.
func split(name, content string) ([]document, error) {
	if strings.TrimSpace(content) == "" {
		return nil, nil
	}
	parts := releaseutil.SplitManifests(content)
	keys := slices.Collect(maps.Keys(parts))
	sort.Sort(releaseutil.BySplitManifestsOrder(keys))
	var found []document
	for _, key := range keys {
		objects, err := parse(parts[key])
		if err != nil {
			return nil, fmt.Errorf("YAML parse error on %s: %w", name, err)
		}
		for _, one := range objects {
			found = append(found, document{source: name, object: one})
		}
	}
	return found, nil
}

var errNoObject = errors.New("it holds no Kubernetes object: an object has apiVersion, kind and metadata")

// parse reads one YAML document. A list yields its items, a document of comments nothing.
func parse(text string) ([]*unstructured.Unstructured, error) {
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	if string(raw) == "null" {
		return nil, nil
	}
	var content map[string]any
	if err := utiljson.Unmarshal(raw, &content); err != nil {
		return nil, errNoObject
	}
	if len(content) == 0 {
		return nil, nil
	}
	one := &unstructured.Unstructured{Object: content}
	if one.GetKind() == "" || one.GetAPIVersion() == "" {
		return nil, errNoObject
	}
	if !one.IsList() || !strings.HasSuffix(one.GetKind(), "List") {
		return []*unstructured.Unstructured{one}, nil
	}
	var items []*unstructured.Unstructured
	err = one.EachListItem(func(item runtime.Object) error {
		items = append(items, item.(*unstructured.Unstructured)) //nolint:forcetypeassert // EachListItem passes nothing else
		return nil
	})
	return items, err
}

// inInstallOrder sorts as Helm does: by kind, unknown kinds last, otherwise as they come.
func inInstallOrder(documents []document) {
	rank := make(map[string]int, len(releaseutil.InstallOrder))
	for i, kind := range releaseutil.InstallOrder {
		rank[kind] = i
	}
	slices.SortStableFunc(documents, func(a, b document) int {
		if by := strings.Compare(a.source, b.source); by != 0 {
			return by
		}
		return a.order - b.order
	})
	slices.SortStableFunc(documents, func(a, b document) int {
		first, known := rank[a.object.GetKind()]
		second, also := rank[b.object.GetKind()]
		switch {
		case known && also:
			return first - second
		case known:
			return -1
		case also:
			return 1
		default:
			return strings.Compare(a.object.GetKind(), b.object.GetKind())
		}
	})
}
