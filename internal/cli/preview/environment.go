package preview

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"holdfast.dev/holdfast/internal/model/tree"
)

const (
	// clustersDir holds a directory for each environment.
	clustersDir = "clusters"
	// ownEnvironment is the environment of a person's own machine, and the one that is meant where
	// none is named.
	ownEnvironment = "local"
)

// Environments returns the names of the environments of a repository, sorted.
func Environments(index *tree.Index) []string {
	names, _ := index.Names(clustersDir)
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !index.IsDir(path.Join(clustersDir, name))
	})
}

// EnvironmentError says that an environment has to be chosen, or that there is none of that name.
type EnvironmentError struct {
	Wanted string   // "" where none was named
	Known  []string // sorted
}

// Error implements error.
func (e *EnvironmentError) Error() string {
	switch {
	case e.Wanted == "":
		return "the tree has several environments: " + strings.Join(e.Known, ", ")
	case len(e.Known) == 0:
		return fmt.Sprintf("there is no environment %q: the tree has no folder %q", e.Wanted, clustersDir)
	default:
		return fmt.Sprintf("there is no environment %q; there are %s", e.Wanted, strings.Join(e.Known, ", "))
	}
}

// Start returns the path to start at for an environment. Without a name that is the environment
// "local", or the only one, or the whole tree where there are no environments.
func Start(index *tree.Index, environment string) (string, error) {
	known := Environments(index)
	switch {
	case environment != "" && !slices.Contains(known, environment):
		return "", &EnvironmentError{Wanted: environment, Known: known}
	case environment != "":
		return path.Join(clustersDir, environment), nil
	case slices.Contains(known, ownEnvironment):
		return path.Join(clustersDir, ownEnvironment), nil
	case len(known) == 1:
		return path.Join(clustersDir, known[0]), nil
	case len(known) > 1:
		return "", &EnvironmentError{Known: known}
	default:
		return "", nil
	}
}
