// Package internal_test holds the rules of this repository as tests: who may import whom, how large a
// file may grow, what every package says of itself, and what must never be committed.
package internal_test

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// The floors of the house. A package may import what stands on the floors below its own.
var (
	words      = []string{"internal/model"}
	doors      = append(slices.Clone(words), "internal/kube", "internal/store")
	stages     = append(slices.Clone(doors), "internal/stage")
	lines      = append(slices.Clone(stages), "internal/pipeline", "internal/helm", "internal/record")
	edges      = append(slices.Clone(lines), "internal/controller", "internal/certificate", "internal/hook", "internal/web")
	everything = []string{"internal", "config", "examples"}
)

// wall says what the packages of a place may import of this module.
type wall struct {
	place string // a path; an asterisk stands for one name, and each such name is a place of its own
	may   []string
	why   string
}

// walls are looked up by the longest place that holds a package. Packages of one place may import each
// other.
var walls = []wall{
	{"internal/model", nil, "the words depend on nothing, so that everything can depend on them"},
	{"internal/kube", words, "the only door to a cluster knows words, not who knocks"},
	{"internal/store", words, "the only door to the disk knows words, not who knocks"},
	{"internal/stage/*", doors, "no stage imports another: the pipeline alone knows their order"},
	{"internal/stage/source/*", append(slices.Clone(doors), "internal/stage/source/transport", "internal/stage/source/tarball"), "sources are siblings: none knows another, but all send requests and read archives the same way"},
	{"internal/stage/apply", append(slices.Clone(doors), "internal/stage/check"), "apply takes what check has passed, and nothing else"},
	{"internal/pipeline", append(slices.Clone(stages), "internal/record."), "the pipeline orders stages and says what happened; it does not know who runs it"},
	{"internal/helm", append(slices.Clone(stages), "internal/pipeline."), "what Helm adds to the line is told to the line, and to no edge"},
	{"internal/record", stages, "what happened is written down by the core and read by the edges"},
	{"internal/controller", lines, "controllers translate between the cluster's kinds and the core"},
	{"internal/certificate", lines, "an edge knows the core and no other edge"},
	{"internal/hook", lines, "an edge knows the core and no other edge"},
	{"internal/web", words, "the dashboard acts as any user does, through the Kubernetes API"},
	{"internal/secret", words, "secrets are written on a laptop: no cluster and no stage is needed to encrypt one"},
	{"internal/localcluster", words, "the embedded cluster is a cluster like any other: nothing of ours is special in it"},
	{"internal/localrepo", nil, "a folder of this machine is served like any remote: nobody else knows of it"},
	{"internal/operator", append(slices.Clone(edges), "config"), "the operator builds the parts; the command line starts it"},
	{"internal/cli", everything, "commands use what they need"},
	{"cmd/*", everything, "main starts commands"},
	{"config/*", nil, "what is installed is data"},
	{"examples", nil, "examples are data"},
}

// support is what only tests may import: it runs processes and keeps no promises.
var support = []string{"gittest", "clustertest", "registrytest", "databasetest", "sopstest", "identitytest", "eventually", "test"}

// TestWalls prints each arrow that goes through a wall, and why the wall stands there.
func TestWalls(t *testing.T) {
	for _, pkg := range packages(t) {
		if isSupport(pkg.path) {
			continue
		}
		rule, place, found := wallOf(pkg.path)
		if !found {
			t.Errorf("%s stands in no place that arch_test.go knows: add a wall and its reason", pkg.path)
			continue
		}
		for _, imported := range pkg.imports {
			target, ours := strings.CutPrefix(imported, module+"/")
			switch {
			case !ours || within(target, place):
			case isSupport(target):
				t.Errorf("%s ──▶ %s\n\tis test support, which only tests import", pkg.path, target)
			case !slices.ContainsFunc(rule.may, func(floor string) bool { return within(target, floor) }):
				t.Errorf("%s ──▶ %s\n\tmay not be: %s", pkg.path, target, rule.why)
			}
		}
	}
}

// fence keeps packages of others out of a place.
type fence struct {
	keepsOut []string // patterns of import paths; an asterisk stands for one name
	outOf    []string // places; empty is the whole module
	except   []string // places
	why      string
}

var fences = []fence{
	{
		keepsOut: []string{
			"sigs.k8s.io/controller-runtime", "sigs.k8s.io/controller-runtime/pkg/manager",
			"sigs.k8s.io/controller-runtime/pkg/reconcile", "sigs.k8s.io/controller-runtime/pkg/controller",
			"sigs.k8s.io/controller-runtime/pkg/builder", "sigs.k8s.io/controller-runtime/pkg/handler",
			"sigs.k8s.io/controller-runtime/pkg/source", "sigs.k8s.io/controller-runtime/pkg/event",
		},
		outOf: lines,
		why:   "the core knows no manager and no reconcile request: the command line and CI run it too",
	},
	{
		keepsOut: []string{"github.com/fluxcd/*/api"},
		outOf:    lines,
		why:      "the core takes plain structs: Flux's kinds are one way to fill them",
	},
	{
		keepsOut: []string{"k8s.io/kubernetes", "go.etcd.io/etcd", "sigs.k8s.io/kwok"},
		except:   []string{"internal/localcluster"},
		why:      "the embedded control plane stays in its own house, so that the daemon can be built without it",
	},
	{
		keepsOut: []string{"os/exec", "plugin"},
		except:   []string{"internal/cli/secrets/editor"}, // starts the editor that the person's own environment names
		why:      "no repository may ever make us start a process, so no code of ours can",
	},
	{
		keepsOut: []string{"internal/localcluster"},
		except:   []string{"internal/localcluster", "internal/cli", "cmd"},
		why:      "what works on the embedded cluster only is not done",
	},
}

// TestFences checks the imports of other modules, and of the few packages that have one door.
func TestFences(t *testing.T) {
	for _, pkg := range packages(t) {
		if isSupport(pkg.path) {
			continue
		}
		for _, f := range fences {
			if !f.guards(pkg.path) {
				continue
			}
			for _, imported := range pkg.imports {
				imported = strings.TrimPrefix(imported, module+"/")
				if slices.ContainsFunc(f.keepsOut, func(pattern string) bool { return matches(imported, pattern) }) {
					t.Errorf("%s ──▶ %s\n\tmay not be: %s", pkg.path, imported, f.why)
				}
			}
		}
	}
}

func (f fence) guards(pkg string) bool {
	holds := func(place string) bool { return within(pkg, place) }
	if slices.ContainsFunc(f.except, holds) {
		return false
	}
	return len(f.outOf) == 0 || slices.ContainsFunc(f.outOf, holds)
}

// matches tells whether an import is what a pattern names. The name of a module stands for all of its
// packages, a package of controller-runtime only for itself: its clients are welcome everywhere.
func matches(imported, pattern string) bool {
	if strings.HasPrefix(pattern, "sigs.k8s.io/controller-runtime") {
		return imported == pattern
	}
	_, found := enclosing(imported, pattern)
	return found
}

// wallOf returns the wall of the longest place that holds a package, and that place with its
// asterisks filled in.
func wallOf(pkg string) (rule wall, place string, found bool) {
	for _, candidate := range walls {
		filled, holds := enclosing(pkg, candidate.place)
		if holds && (len(filled) > len(place) || filled == place && !strings.Contains(candidate.place, "*")) {
			rule, place, found = candidate, filled, true
		}
	}
	return rule, place, found
}

// enclosing returns the part of a path that a place matches, when the path is in that place.
func enclosing(name, place string) (string, bool) {
	steps := strings.Split(name, "/")
	depth := strings.Count(place, "/") + 1
	if len(steps) < depth {
		return "", false
	}
	head := strings.Join(steps[:depth], "/")
	match, err := path.Match(place, head)
	return head, err == nil && match
}

// within tells whether a package is in a place. A place that ends in a dot is that package alone,
// without those below it.
func within(name, place string) bool {
	if alone, dotted := strings.CutSuffix(place, "."); dotted {
		return name == alone
	}
	return name == place || strings.HasPrefix(name, place+"/")
}

func isSupport(pkg string) bool {
	return slices.ContainsFunc(strings.Split(pkg, "/"), func(step string) bool { return slices.Contains(support, step) })
}

// TestWallsHold makes sure that the rules above catch what they are for.
func TestWallsHold(t *testing.T) {
	cases := map[string]struct {
		why      string
		from, to string
		want     bool
	}{
		"Down":          {why: "imports go downwards", from: "internal/pipeline", to: "internal/stage/render", want: true},
		"Up":            {why: "and never upwards", from: "internal/stage/render", to: "internal/pipeline", want: false},
		"Sideways":      {why: "stages do not know each other", from: "internal/stage/render", to: "internal/stage/apply", want: false},
		"ApplyCheck":    {why: "but apply names what check passed", from: "internal/stage/apply", to: "internal/stage/check", want: true},
		"CheckApply":    {why: "and not the other way round", from: "internal/stage/check", to: "internal/stage/apply", want: false},
		"SourceSibling": {why: "sources are siblings", from: "internal/stage/source/git", to: "internal/stage/source/oci", want: false},
		"Child":         {why: "a package may be split into smaller ones", from: "internal/stage/render", to: "internal/stage/render/substitute", want: true},
		"Model":         {why: "words may use words", from: "internal/model/tree", to: "internal/model/revision", want: true},
		"ModelKube":     {why: "words use nothing else", from: "internal/model/tree", to: "internal/kube", want: false},
		"WebCore":       {why: "the dashboard has no short cut", from: "internal/web", to: "internal/pipeline", want: false},
		"Words":         {why: "what happened has words that the core uses", from: "internal/pipeline", to: "internal/record", want: true},
		"Keepers":       {why: "but the core does not know who keeps them", from: "internal/pipeline", to: "internal/record/audit", want: false},
		"Command":       {why: "a command may use all", from: "internal/cli", to: "internal/localcluster", want: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			rule, place, found := wallOf(c.from)
			if !found {
				t.Fatalf("%s has no wall", c.from)
			}
			got := within(c.to, place) || slices.ContainsFunc(rule.may, func(floor string) bool { return within(c.to, floor) })
			if got != c.want {
				t.Errorf("%s: %s ──▶ %s is allowed: %t, want %t", c.why, c.from, c.to, got, c.want)
			}
		})
	}
	if !matches("github.com/fluxcd/source-controller/api/v1", "github.com/fluxcd/*/api") {
		t.Error("Flux's kinds are not caught by their pattern")
	}
	if matches("github.com/fluxcd/pkg/envsubst", "github.com/fluxcd/*/api") {
		t.Error("a library of Flux is taken for its kinds")
	}
}
