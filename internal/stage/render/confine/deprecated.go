package confine

import (
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// modern rewrites a kustomization file that uses old names of fields to the new names, where that
// means exactly the same. Kustomize prints a warning for each old name to the standard error of the
// process. A file that cannot be read is left to kustomize, which says why.
//
// Other old names stay in a build that is done whole: their successors work at another point of it,
// or could be told apart from them by a configuration.
func modern(data []byte) []byte {
	var k types.Kustomization
	if err := k.Unmarshal(data); err != nil || k.Bases == nil && k.ImageTags == nil {
		return data
	}
	k.FixKustomization()
	rewritten, err := yaml.Marshal(k)
	if err != nil {
		return data
	}
	return rewritten
}
