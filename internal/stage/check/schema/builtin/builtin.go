// Package builtin holds the schemas of Kubernetes' own kinds, for use without a cluster.
//
// In: a minor version of Kubernetes. Out: its kinds and their schemas, as they are written in OpenAPI,
// without descriptions. The data is made by `go test -run TestGenerate -update` in this folder, of the
// OpenAPI documents in the modules k8s.io/kubernetes and of what the API server of the tests says itself.
package builtin

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

//go:embed data/*.json.gz
var data embed.FS

// Kind is how a kind is served.
type Kind struct {
	Schema     string `json:"schema"`
	Resource   string `json:"resource"`
	Namespaced bool   `json:"namespaced,omitempty"`
}

// Catalog is what one version of Kubernetes serves. It must not be modified.
type Catalog struct {
	// Version is the minor version, as 1.36.
	Version string `json:"version"`
	// Kinds are by "group/version/Kind", where the core group is empty: "/v1/Pod".
	Kinds map[string]Kind `json:"kinds"`
	// Schemas are by name; they refer to each other by "#/components/schemas/NAME".
	Schemas map[string]json.RawMessage `json:"schemas"`
}

// Find returns a kind.
func (c *Catalog) Find(gvk schema.GroupVersionKind) (Kind, bool) {
	kind, found := c.Kinds[gvk.Group+"/"+gvk.Version+"/"+gvk.Kind]
	return kind, found
}

// Serves tells whether a group has kinds.
func (c *Catalog) Serves(group string) bool {
	for key := range c.Kinds {
		if strings.HasPrefix(key, group+"/") {
			return true
		}
	}
	return false
}

// Library loads catalogs when they are first asked for, and keeps them. It is safe for concurrent use.
type Library struct {
	lock   sync.Mutex
	loaded map[string]*Catalog
}

// New returns a library with nothing loaded.
func New() *Library { return &Library{loaded: map[string]*Catalog{}} }

// Versions lists the minor versions that there are, the oldest first.
func Versions() []string {
	entries, err := data.ReadDir("data")
	if err != nil {
		return nil
	}
	var versions []string
	for _, entry := range entries {
		versions = append(versions, strings.TrimSuffix(entry.Name(), ".json.gz"))
	}
	slices.SortFunc(versions, func(a, b string) int { return minor(a) - minor(b) })
	return versions
}

// Latest is the newest of Versions.
func Latest() string {
	versions := Versions()
	return versions[len(versions)-1]
}

func minor(version string) int {
	_, text, _ := strings.Cut(version, ".")
	number, _ := strconv.Atoi(text) // a file of ours
	return number
}

// Load returns the catalog of a minor version. One that is not there is an error that names those that are.
func (l *Library) Load(version string) (*Catalog, error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	if known, found := l.loaded[version]; found {
		return known, nil
	}
	if !slices.Contains(Versions(), version) {
		return nil, fmt.Errorf("loading the schemas of Kubernetes %s: there are those of %s", version, strings.Join(Versions(), ", "))
	}
	packed, err := data.ReadFile("data/" + version + ".json.gz")
	if err != nil {
		return nil, fmt.Errorf("loading the schemas of Kubernetes %s: %w", version, err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("loading the schemas of Kubernetes %s: %w", version, err)
	}
	raw, err := io.ReadAll(reader)
	if err != nil {
		return nil, fmt.Errorf("loading the schemas of Kubernetes %s: %w", version, err)
	}
	catalog := &Catalog{}
	if err := json.Unmarshal(raw, catalog); err != nil {
		return nil, fmt.Errorf("loading the schemas of Kubernetes %s: %w", version, err)
	}
	l.loaded[version] = catalog
	return catalog, nil
}
