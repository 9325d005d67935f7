package manifest

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

// Operations are what is worth knowing of a JSON 6902 patch.
type Operations struct {
	TouchIdentity bool // it may change what an object is called
	Mentions      []uint64
}

// operationsOf reads a JSON 6902 patch; it is nil where data is none.
func operationsOf(data []byte, limits Limits) *Operations {
	raw, err := yaml.YAMLToJSON(data)
	if err != nil {
		return nil
	}
	var list []struct{ Op, Path, From string }
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil
	}
	found := &Operations{Mentions: mentionsOf(data, limits)}
	for _, one := range list {
		found.TouchIdentity = found.TouchIdentity || touchesIdentity(one.Path) || one.Op == "move" && touchesIdentity(one.From)
	}
	return found
}

// touchesIdentity tells whether a JSON pointer is at, above or below a part of an object's identity.
func touchesIdentity(pointer string) bool {
	if pointer == "" || pointer == "/" {
		return true
	}
	return slices.ContainsFunc([]string{"/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"}, func(part string) bool {
		return pointer == part || strings.HasPrefix(part, pointer+"/") || strings.HasPrefix(pointer, part+"/")
	})
}

// mentionsOf notes all short strings of YAML text.
func mentionsOf(text []byte, limits Limits) []uint64 {
	mentions := map[uint64]bool{}
	decoder := kyaml.NewDecoder(bytes.NewReader(text))
	for {
		var document kyaml.Node
		if err := decoder.Decode(&document); err != nil {
			break
		}
		if err := noteMentions(&document, mentions, limits.Depth); err != nil {
			break
		}
	}
	return slices.Sorted(maps.Keys(mentions))
}
