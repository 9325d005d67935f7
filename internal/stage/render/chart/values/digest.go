package values

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sort"

	"sigs.k8s.io/yaml"
	goyaml "sigs.k8s.io/yaml/goyaml.v2"
)

// Digest returns the digest of values as Flux writes it into a release's status: SHA-256 of their YAML with
// sorted keys, and of nothing where there are none.
func Digest(values map[string]any) (digest string, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			digest, err = "", fmt.Errorf("encoding values: %v", cause)
		}
	}()
	sum := sha256.New()
	if len(values) > 0 {
		ordered := yaml.JSONObjectToYAMLObject(values)
		order(ordered)
		if err := goyaml.NewEncoder(sum).Encode(ordered); err != nil {
			return "", fmt.Errorf("encoding values: %w", err)
		}
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

// order sorts as Flux does: lists in lists are left as they are.
func order(values goyaml.MapSlice) {
	sort.Slice(values, func(i, j int) bool { return fmt.Sprint(values[i].Key) < fmt.Sprint(values[j].Key) })
	for _, item := range values {
		switch below := item.Value.(type) {
		case goyaml.MapSlice:
			order(below)
		case []any:
			for _, one := range below {
				if table, isTable := one.(goyaml.MapSlice); isTable {
					order(table)
				}
			}
		}
	}
}
