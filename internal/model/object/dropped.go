package object

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// mostDropped bounds what is said of one object.
const mostDropped = 50

// Dropped lists the fields of an object as it was written that its normal form does not have. Fields
// without a value, and those that normalising moves or removes on purpose, are among them where the normal
// form leaves them out: who knows the kind's schema can tell.
func Dropped(written, normal map[string]any) []string {
	var paths []string
	missing(written, normal, "", &paths)
	return paths
}

func missing(written, normal map[string]any, path string, paths *[]string) {
	for _, name := range slices.Sorted(maps.Keys(written)) {
		if path == "" && (name == "status" || name == "stringData") || len(*paths) == mostDropped {
			continue
		}
		below := joined(path, name)
		held, there := normal[name]
		if !there {
			if written[name] != nil && below != "metadata.creationTimestamp" {
				*paths = append(*paths, below)
			}
			continue
		}
		missingBelow(written[name], held, below, paths)
	}
}

func missingBelow(written, normal any, path string, paths *[]string) {
	switch written := written.(type) {
	case map[string]any:
		if held, ok := normal.(map[string]any); ok {
			missing(written, held, path, paths)
		}
	case []any:
		held, ok := normal.([]any)
		if !ok || len(held) != len(written) {
			return
		}
		for i := range written {
			missingBelow(written[i], held[i], path+"["+strconv.Itoa(i)+"]", paths)
		}
	}
}

// joined adds a field to a path; names that are no words stand in brackets.
func joined(path, name string) string {
	if strings.ContainsAny(name, "./[]") || name == "" {
		return path + "[" + name + "]"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}
