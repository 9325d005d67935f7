package schema

import (
	"encoding/json"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check/schema/builtin"
)

// kindSchema is all that is known of a kind. It is immutable, and its address identifies it.
type kindSchema struct {
	root  *node
	rules func() (*rules, error)
	// foreign says that the kind is no built-in one: what the server does not know of it is all here.
	foreign bool
}

// catalog compiles the kinds of one version of Kubernetes, or of one document, as they are needed.
type catalog struct {
	lock     sync.Mutex
	compiler compiler
	kinds    map[schema.GroupVersionKind]*kindSchema
	nameOf   func(schema.GroupVersionKind) (string, bool)
}

func ofBuiltin(from *builtin.Catalog) *catalog {
	return &catalog{
		compiler: compiler{named: from.Schemas, done: map[string]*node{}, builtin: true},
		kinds:    map[schema.GroupVersionKind]*kindSchema{},
		nameOf: func(gvk schema.GroupVersionKind) (string, bool) {
			kind, found := from.Find(gvk)
			return kind.Schema, found
		},
	}
}

// find returns the schema of a kind, nil where there is none.
func (c *catalog) find(gvk schema.GroupVersionKind) (*kindSchema, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if known, found := c.kinds[gvk]; found {
		return known, nil
	}
	name, found := c.nameOf(gvk)
	if !found {
		return nil, nil //nolint:nilnil // no schema
	}
	root, err := c.compiler.reference(name, 0)
	if err != nil {
		return nil, err
	}
	made := &kindSchema{root: root, foreign: !c.compiler.builtin, rules: func() (*rules, error) { return nil, nil }} //nolint:nilnil // no rules
	if raw := c.compiler.named[name]; !c.compiler.builtin {
		made.rules = sync.OnceValues(func() (*rules, error) { return newRules(resolved(raw)) })
	}
	c.kinds[gvk] = made
	return made, nil
}

// metadata returns the schema of Kubernetes' own metadata.
func (c *catalog) metadata() (*node, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.compiler.reference("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", 0)
}

// resolved replaces references in a schema: what a definition refers to is Kubernetes' own metadata, on
// which there are no rules.
func resolved(raw []byte) []byte {
	var content any
	if json.Unmarshal(raw, &content) != nil {
		return nil
	}
	text, err := json.Marshal(withoutReferences(content))
	if err != nil {
		return nil
	}
	return text
}

func withoutReferences(value any) any {
	switch value := value.(type) {
	case map[string]any:
		if all, ok := value["allOf"].([]any); ok && len(all) == 1 {
			if only, ok := all[0].(map[string]any); ok && only["$ref"] != nil {
				return map[string]any{"type": "object"}
			}
		}
		if _, refers := value["$ref"].(string); refers {
			return map[string]any{"type": "object"}
		}
		for name, below := range value {
			value[name] = withoutReferences(below)
		}
	case []any:
		for i, below := range value {
			value[i] = withoutReferences(below)
		}
	}
	return value
}

// ofDocument reads the OpenAPI document of one group and version.
func ofDocument(raw []byte, builtin bool) (*catalog, error) {
	var read struct {
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(raw, &read); err != nil {
		return nil, err
	}
	names := map[schema.GroupVersionKind]string{}
	for name, one := range read.Components.Schemas {
		var kinds struct {
			Of []schema.GroupVersionKind `json:"x-kubernetes-group-version-kind"`
		}
		if json.Unmarshal(one, &kinds) == nil && len(kinds.Of) == 1 {
			names[kinds.Of[0]] = name
		}
	}
	return &catalog{
		compiler: compiler{named: read.Components.Schemas, done: map[string]*node{}, builtin: builtin},
		kinds:    map[schema.GroupVersionKind]*kindSchema{},
		nameOf: func(gvk schema.GroupVersionKind) (string, bool) {
			name, found := names[gvk]
			return name, found
		},
	}, nil
}

// definition is what a CustomResourceDefinition says of its kinds.
type definition struct {
	Spec struct {
		Group string `json:"group"`
		Names struct {
			Kind string `json:"kind"`
		} `json:"names"`
		Versions []struct {
			Name   string `json:"name"`
			Served bool   `json:"served"`
			Schema struct {
				Open json.RawMessage `json:"openAPIV3Schema"`
			} `json:"schema"`
		} `json:"versions"`
	} `json:"spec"`
}

// ofDefinition compiles the kinds of a definition. What cannot be read defines nothing.
func ofDefinition(one object.Object) map[schema.GroupVersionKind]*kindSchema {
	var read definition
	if json.Unmarshal(one.JSON, &read) != nil {
		return nil
	}
	found := map[schema.GroupVersionKind]*kindSchema{}
	for _, version := range read.Spec.Versions {
		compiler := compiler{done: map[string]*node{}}
		root, err := compiler.compile(version.Schema.Open, 0)
		if err != nil || root == nil {
			continue
		}
		raw := version.Schema.Open
		gvk := schema.GroupVersionKind{Group: read.Spec.Group, Version: version.Name, Kind: read.Spec.Names.Kind}
		found[gvk] = &kindSchema{root: root, foreign: true, rules: sync.OnceValues(func() (*rules, error) { return newRules(raw) })}
	}
	return found
}
