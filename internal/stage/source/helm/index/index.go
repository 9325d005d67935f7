package index

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// Version is one version of a chart.
type Version struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	URLs    []string `json:"urls,omitempty"`
	// Digest is the SHA-256 of the packed chart in hex, where the index says it.
	Digest string `json:"digest,omitempty"`
	// Created orders builds of one version; RFC 3339.
	Created string `json:"created,omitempty"`
}

// Index is the versions of all charts of a repository. It is immutable.
type Index struct {
	charts map[string][]Version
	bytes  int64
}

// ErrNotFound says that there is no such chart, or none of its versions is asked for.
var ErrNotFound = errors.New("no such chart version")

// Charts returns how many charts there are.
func (x *Index) Charts() int { return len(x.charts) }

// Bytes is about how much memory the index takes.
func (x *Index) Bytes() int64 { return x.bytes }

// Find returns the newest version of a chart that a constraint allows: an exact version, a semver range, or
// "" and "*" for the newest that is no pre-release.
func (x *Index) Find(name, wanted string) (Version, error) {
	versions, found := x.charts[name]
	if !found {
		return Version{}, fmt.Errorf("%w: no chart name found: %s", ErrNotFound, name)
	}
	for _, one := range versions {
		if one.Version == wanted {
			return one, nil
		}
	}
	texts := make([]string, len(versions))
	for i, one := range versions {
		texts[i] = one.Version
	}
	best, err := Newest(texts, wanted)
	if err != nil {
		return Version{}, fmt.Errorf("chart %s: %w", name, err)
	}
	var chosen Version
	for _, one := range versions { // of several builds of a version, the one that was made last
		if one.Version == best && (chosen.Version == "" || one.Created > chosen.Created) {
			chosen = one
		}
	}
	return chosen, nil
}

// Newest returns the newest of several versions that a constraint allows.
func Newest(versions []string, wanted string) (string, error) {
	if strings.TrimSpace(wanted) == "" {
		wanted = "*"
	}
	if slices.Contains(versions, wanted) {
		return wanted, nil
	}
	constraint, err := semver.NewConstraint(wanted)
	if err != nil {
		return "", fmt.Errorf("version %q is neither a version nor a range: %w", wanted, err)
	}
	var best *semver.Version
	chosen := ""
	for _, text := range versions {
		version, err := semver.NewVersion(text)
		if err != nil || !constraint.Check(version) {
			continue
		}
		if best == nil || version.GreaterThan(best) {
			best, chosen = version, text
		}
	}
	if best == nil {
		return "", fmt.Errorf("%w: no chart version found for %s", ErrNotFound, wanted)
	}
	return chosen, nil
}

// Each calls a function with all versions, by chart.
func (x *Index) Each(visit func(name string, versions []Version)) {
	names := make([]string, 0, len(x.charts))
	for name := range x.charts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		visit(name, x.charts[name])
	}
}

func (x *Index) add(one Version) {
	if one.Version == "" || one.Name == "" {
		return // as Helm: what is no version is left out
	}
	// What is kept must not hold on to the text that it is a part of.
	one.Name, one.Version = strings.Clone(one.Name), strings.Clone(one.Version)
	one.Digest, one.Created = strings.Clone(one.Digest), strings.Clone(one.Created)
	for i, address := range one.URLs {
		one.URLs[i] = strings.Clone(address)
		x.bytes += int64(len(address)) + 16
	}
	x.bytes += int64(len(one.Name)+len(one.Version)+len(one.Digest)+len(one.Created)) + 104
	x.charts[one.Name] = append(x.charts[one.Name], one)
}
