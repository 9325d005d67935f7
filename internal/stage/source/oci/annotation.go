package oci

import (
	"maps"
	"slices"
	"strings"
)

// Keys of annotations by which an artifact tells what it was made of, as the OCI image specification and
// Flux have them.
const (
	SourceKey   = "org.opencontainers.image.source"
	RevisionKey = "org.opencontainers.image.revision"
	CreatedKey  = "org.opencontainers.image.created"
)

// maxAnnotations is how many bytes of annotations are kept: they go into an object of the cluster.
const maxAnnotations = 32 << 10

// Annotations returns what of a manifest's annotations can be kept: those that tell the origin first, then by
// name for as long as there is room.
func Annotations(all map[string]string) map[string]string {
	kept, room := map[string]string{}, maxAnnotations
	first := []string{SourceKey, RevisionKey, CreatedKey}
	for _, key := range append(first, slices.Sorted(maps.Keys(all))...) {
		value, found := all[key]
		if _, have := kept[key]; !found || have || len(key)+len(value) > room {
			continue
		}
		room -= len(key) + len(value)
		kept[key] = strings.ToValidUTF8(value, "")
	}
	return kept
}
