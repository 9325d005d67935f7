package helm

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/Masterminds/semver/v3"
	helmchart "helm.sh/helm/v4/pkg/chart/v2"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/model/tree"
)

// deepest is how far charts may depend on each other.
const deepest = 8

// Fetch finds a packed chart in a repository that a chart names by its address.
type Fetch func(ctx context.Context, repository, name, version string) ([]byte, error)

// AddDependencies puts the charts in that a chart of a tree depends on, where they are not in it. Those of
// file:// are in the tree, too.
func (c *Chart) AddDependencies(ctx context.Context, t tree.Tree, at string, fetch Fetch) error {
	return c.addDependencies(ctx, t, at, fetch, 0)
}

func (c *Chart) addDependencies(ctx context.Context, t tree.Tree, at string, fetch Fetch, depth int) error {
	if depth > deepest {
		return fmt.Errorf("charts depend on each other more than %d deep", deepest)
	}
	wanted, err := c.wanted()
	if err != nil {
		return err
	}
	for _, one := range wanted {
		if c.holds(one.Name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		var below *Chart
		switch {
		case strings.HasPrefix(one.Repository, "file://"):
			below, err = c.local(ctx, t, at, one, fetch, depth)
		case one.Repository == "":
			err = errors.New("no repository is named, and it is not in charts/")
		default:
			var packed []byte
			if packed, err = fetch(ctx, one.Repository, one.Name, one.Version); err == nil {
				below, err = Unpack(packed)
			}
		}
		if err != nil {
			return fmt.Errorf("adding dependency '%s': %w", one.Name, err)
		}
		for name, text := range below.files {
			c.files["charts/"+one.Name+"/"+name] = text
		}
		c.Dependencies++
		c.Packaged = true
	}
	return nil
}

// wanted returns what the chart depends on, in the versions of its lock where there is one.
func (c *Chart) wanted() ([]*helmchart.Dependency, error) {
	for _, name := range []string{chartLock, requirementsLock} {
		text, found := c.files[name]
		if !found {
			continue
		}
		lock := &helmchart.Lock{}
		if err := yaml.Unmarshal(text, lock); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		return present(lock.Dependencies), nil
	}
	return present(c.Metadata.Dependencies), nil
}

func present(list []*helmchart.Dependency) []*helmchart.Dependency {
	var found []*helmchart.Dependency
	for _, one := range list {
		if one != nil && one.Name != "" && !strings.ContainsAny(one.Name, `/\`) && one.Name != ".." {
			found = append(found, one)
		}
	}
	return found
}

// holds tells whether a chart is in charts/ already, unpacked or packed.
func (c *Chart) holds(name string) bool {
	for file := range c.files {
		within, found := strings.CutPrefix(file, "charts/")
		if !found {
			continue
		}
		top, rest, nested := strings.Cut(within, "/")
		switch {
		case nested && rest == "Chart.yaml":
			metadata := &helmchart.Metadata{}
			if yaml.Unmarshal(c.files[file], metadata) == nil && metadata.Name == name {
				return true
			}
		case !nested && strings.HasSuffix(top, ".tgz"):
			if below, err := Unpack(c.files[file]); err == nil && below.Metadata.Name == name {
				return true
			}
		}
	}
	return false
}

// local reads a chart that is beside this one in the tree.
func (c *Chart) local(ctx context.Context, t tree.Tree, at string, one *helmchart.Dependency, fetch Fetch, depth int) (*Chart, error) {
	relative := strings.TrimPrefix(one.Repository, "file://")
	target := path.Join(tree.Clean(at), relative)
	if path.IsAbs(relative) || target == ".." || strings.HasPrefix(target, "../") {
		return nil, fmt.Errorf("%s leads out of the source", one.Repository)
	}
	below, err := Open(t, target)
	if err != nil {
		return nil, err
	}
	if one.Version != "" {
		constraint, err := semver.NewConstraint(one.Version)
		if err != nil {
			return nil, fmt.Errorf("invalid version/constraint format '%s': %w", one.Version, err)
		}
		version, err := semver.NewVersion(below.Metadata.Version)
		if err != nil || !constraint.Check(version) {
			return nil, fmt.Errorf("can't get a valid version for constraint '%s': %s has %s", one.Version, target, below.Metadata.Version)
		}
	}
	return below, below.addDependencies(ctx, t, target, fetch, depth+1)
}
