package builtin

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/client-go/discovery"

	"holdfast.dev/holdfast/internal/localcluster/clustertest"
)

var update = flag.Bool("update", false, "make the data of this package")

// document is what is read of an OpenAPI document.
type document struct {
	Components struct {
		Schemas map[string]map[string]any `json:"schemas"`
	} `json:"components"`
	Paths map[string]map[string]json.RawMessage `json:"paths"`
}

// TestGenerate writes data/, of what the modules k8s.io/kubernetes@v1.N of the module cache hold.
func TestGenerate(t *testing.T) {
	if !*update {
		t.Skip("makes the data only with -update")
	}
	live := ofServer(t)
	cache := os.Getenv("GOMODCACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(home, "go", "pkg", "mod")
	}
	folders, err := filepath.Glob(filepath.Join(cache, "k8s.io", "kubernetes@v1.*", "api", "openapi-spec", "v3"))
	if err != nil || len(folders) == 0 {
		t.Fatalf("no module k8s.io/kubernetes in %s: %v", cache, err)
	}
	for _, folder := range folders {
		version := regexp.MustCompile(`@v(1\.\d+)\.`).FindStringSubmatch(folder)[1]
		var documents []document
		names, err := filepath.Glob(filepath.Join(folder, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			documents = append(documents, parse(t, raw))
		}
		write(t, version, documents, live)
	}
}

func parse(t *testing.T, raw []byte) document {
	t.Helper()
	var read document
	if err := json.Unmarshal(raw, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

// ofServer reads what the API server of the tests says: it knows the values of enumerations, which the
// documents in the module leave out.
func ofServer(t *testing.T) map[string]map[string]any {
	t.Helper()
	client, err := discovery.NewDiscoveryClientForConfig(clustertest.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	paths, err := client.OpenAPIV3().Paths()
	if err != nil {
		t.Fatal(err)
	}
	schemas := map[string]map[string]any{}
	for _, path := range paths {
		raw, err := path.Schema("application/json")
		if err != nil {
			t.Fatal(err)
		}
		for name, schema := range parse(t, raw).Components.Schemas {
			schemas[name] = schema
		}
	}
	return schemas
}

func write(t *testing.T, version string, documents []document, live map[string]map[string]any) {
	t.Helper()
	catalog := Catalog{Version: version, Kinds: map[string]Kind{}, Schemas: map[string]json.RawMessage{}}
	kinds := map[string]string{}
	for _, one := range documents {
		for name, schema := range one.Components.Schemas {
			groups, _ := schema["x-kubernetes-group-version-kind"].([]any)
			if len(groups) == 1 {
				kinds[keyOf(groups[0].(map[string]any))] = name
			}
			enumerate(schema, live[name])
			strip(schema)
			raw, err := json.Marshal(schema)
			if err != nil {
				t.Fatal(err)
			}
			catalog.Schemas[name] = raw
		}
	}
	for _, one := range documents {
		for path, operations := range one.Paths {
			addKind(catalog, kinds, path, operations)
		}
	}
	raw, err := json.Marshal(catalog)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	writer, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if _, err := writer.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("data", version+".json.gz"), packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d kinds, %d schemas, %d bytes, %d packed", version, len(catalog.Kinds), len(catalog.Schemas), len(raw), packed.Len())
}

func keyOf(gvk map[string]any) string {
	return gvk["group"].(string) + "/" + gvk["version"].(string) + "/" + gvk["kind"].(string)
}

// addKind takes note of a kind that can be patched, and of where it lives.
func addKind(catalog Catalog, kinds map[string]string, path string, operations map[string]json.RawMessage) {
	if !strings.HasSuffix(path, "/{name}") || strings.Contains(path, "/watch/") {
		return
	}
	var patch struct {
		GVK map[string]any `json:"x-kubernetes-group-version-kind"`
	}
	if operations["patch"] == nil || json.Unmarshal(operations["patch"], &patch) != nil || patch.GVK == nil {
		return
	}
	key := keyOf(patch.GVK)
	steps := strings.Split(path, "/")
	if schema := kinds[key]; schema != "" {
		catalog.Kinds[key] = Kind{Schema: schema, Resource: steps[len(steps)-2], Namespaced: strings.Contains(path, "/namespaces/{namespace}/")}
	}
}

// enumerate takes over which values the fields of a schema may have.
func enumerate(schema, live map[string]any) {
	fields, _ := schema["properties"].(map[string]any)
	known, _ := live["properties"].(map[string]any)
	for name, field := range fields {
		field, _ := field.(map[string]any)
		other, _ := known[name].(map[string]any)
		if values := other["enum"]; values != nil && field["enum"] == nil {
			field["enum"] = values
		}
		items, _ := field["items"].(map[string]any)
		others, _ := other["items"].(map[string]any)
		if values := others["enum"]; values != nil && items != nil {
			items["enum"] = values
		}
	}
}

// strip drops what judges do not look at.
func strip(schema map[string]any) {
	for _, name := range []string{
		"description", "x-kubernetes-patch-merge-key", "x-kubernetes-patch-strategy", "x-kubernetes-group-version-kind", "x-kubernetes-unions",
	} {
		delete(schema, name)
	}
	if fields, ok := schema["properties"].(map[string]any); ok {
		for _, field := range fields {
			strip(field.(map[string]any))
		}
	}
	for _, name := range []string{"items", "additionalProperties"} {
		if below, ok := schema[name].(map[string]any); ok {
			strip(below)
		}
	}
	if list, ok := schema["x-kubernetes-list-map-keys"].([]any); ok && len(list) == 0 {
		delete(schema, "x-kubernetes-list-map-keys")
	}
}
