package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"holdfast.dev/holdfast/config/crd"
	"holdfast.dev/holdfast/internal/cli/preview"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/tree"
	gate "holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/check/lifecycle"
	"holdfast.dev/holdfast/internal/stage/check/plaintext"
	"holdfast.dev/holdfast/internal/stage/check/policy"
	"holdfast.dev/holdfast/internal/stage/check/schema"
	"holdfast.dev/holdfast/internal/stage/check/schema/builtin"
	"holdfast.dev/holdfast/internal/stage/render"
)

// The rules of what keeps a unit from being built.
const (
	RuleBuild        = "build/failed"
	RuleUnknown      = "build/not-evaluated"
	RulePlaceholders = "build/placeholders"
)

// Options say what to check.
type Options struct {
	Tree         tree.Tree
	Environments []Environment
	Sources      map[preview.Source]tree.Tree
	Opener       render.Opener
	// Version is the minor version of Kubernetes; empty is the newest that is known.
	Version string
	// Cluster is asked for its opinion, too; nil is none.
	Cluster *kube.Cluster
	// Judges look at each unit, beside those that are always asked.
	Judges []gate.Judge
}

// Report is what a check came to.
type Report struct {
	Environments []string  `json:"environments"`
	Units        int       `json:"units"`
	Objects      int       `json:"objects"`
	Findings     []Finding `json:"findings"`
	// Unknown says that a part could not be judged.
	Unknown bool `json:"notEvaluated"`
}

// Finding is a finding and the environments that have it.
type Finding struct {
	finding.Finding

	Environments []string `json:"environments,omitempty"`
}

// Run checks environments. An error means that nothing could be checked.
func Run(ctx context.Context, options Options) (Report, error) {
	schemas, err := schema.New(schema.Options{Version: options.Version})
	if err != nil {
		return Report{}, err
	}
	policies, err := policy.New(policy.Options{})
	if err != nil {
		return Report{}, fmt.Errorf("preparing policies: %w", err)
	}
	own, err := definitions()
	if err != nil {
		return Report{}, err
	}
	c := &checker{
		Options: options, schemas: schemas, own: own, renderer: render.New(render.Options{}),
		judges: append([]gate.Judge{schemas, lifecycle.Judge{Version: cmp.Or(options.Version, builtin.Latest())}, plaintext.Judge{}, policies}, options.Judges...),
		found:  map[finding.Finding][]string{},
	}
	for _, environment := range options.Environments {
		c.report.Environments = append(c.report.Environments, environment.Name)
		if err := c.environment(ctx, environment); err != nil {
			return Report{}, err
		}
	}
	return c.result(), nil
}

// checker is one run.
type checker struct {
	Options

	schemas  *schema.Judge
	own      []object.Object // definitions of the kinds that we serve ourselves
	renderer *render.Renderer
	judges   []gate.Judge
	report   Report
	found    map[finding.Finding][]string
}

// environment checks what one cluster gets.
func (c *checker) environment(ctx context.Context, environment Environment) error {
	built, err := preview.Build(ctx, preview.Options{
		Tree: c.Tree, Path: environment.Path, Sources: c.Sources, AllowMissing: true, Renderer: c.renderer, Opener: c.Opener,
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil { // the root itself
		c.add(environment, finding.Finding{Rule: RuleBuild, Severity: finding.Error, Unit: preview.RootName + "/" + preview.RootName, Message: err.Error()})
		return nil
	}
	for _, one := range built.Findings {
		c.add(environment, ofBuild(one))
	}
	all := slices.Clone(c.own)
	for _, unit := range built.Units {
		all = append(all, unit.Objects...)
	}
	for _, one := range references(built.Units) {
		c.add(environment, one)
	}
	for _, unit := range built.Units {
		if err := c.unit(ctx, environment, unit, all); err != nil {
			return err
		}
	}
	return nil
}

func ofBuild(one preview.Finding) finding.Finding {
	made := finding.Finding{Rule: RuleBuild, Severity: finding.Error, Unit: one.Unit.String(), Message: one.Text, Advice: one.Hint}
	if one.Class == preview.Unknown {
		made.Rule, made.Severity = RuleUnknown, finding.Info
	}
	return made
}

// unit has the judges look at a unit, among everything that its cluster gets.
func (c *checker) unit(ctx context.Context, environment Environment, unit preview.Unit, all []object.Object) error {
	c.report.Units++
	c.report.Objects += len(unit.Objects)
	set := gate.Set{
		Unit: unit.Owner, Objects: unit.Objects, Kinds: kinds{c.schemas, c.Cluster}, Cluster: c.Cluster, Others: all, Read: c.reader(unit.Source),
	}
	for _, name := range unit.Placeholders {
		set.Placeholders = append(set.Placeholders, preview.Placeholder(name))
	}
	if len(unit.Placeholders) > 0 {
		c.add(environment, finding.Finding{
			Rule: RulePlaceholders, Severity: finding.Info, Unit: unit.Owner.String(),
			Message: "has variables without a value, for which placeholders stand: " + strings.Join(unit.Placeholders, ", "),
		})
	}
	judges := c.judges
	if c.Cluster != nil {
		judges = append(slices.Clone(judges), server{c.Cluster})
	}
	found, err := gate.Findings(ctx, set, judges...)
	if err != nil {
		return fmt.Errorf("checking %s: %w", unit.Owner, err)
	}
	for _, one := range found {
		if one.Rule != schema.RuleUnknownKind {
			one.Unit = unit.Owner.String()
		}
		c.add(environment, one)
	}
	return nil
}

// reader reads files of the source that a unit is made of.
func (c *checker) reader(source preview.Source) func(string) ([]byte, error) {
	if files, found := preview.TreeOf(c.Sources, source); found {
		return files.Read
	}
	return c.Tree.Read
}

func (c *checker) add(environment Environment, one finding.Finding) {
	if one.Rule == RuleUnknown {
		c.report.Unknown = true
	}
	if names := c.found[one]; !slices.Contains(names, environment.Name) {
		c.found[one] = append(names, environment.Name)
	}
}

// result sorts what was found: the same tree always gives the same report.
func (c *checker) result() Report {
	c.report.Findings = []Finding{}
	for one, names := range c.found {
		c.report.Findings = append(c.report.Findings, Finding{one, names})
	}
	slices.SortFunc(c.report.Findings, func(a, b Finding) int {
		if order := finding.Compare(a.Finding, b.Finding); order != 0 {
			return order
		}
		return strings.Compare(a.Advice, b.Advice)
	})
	return c.report
}

// definitions are those of the kinds that a cluster with Holdfast serves.
func definitions() ([]object.Object, error) {
	written, err := crd.All()
	if err != nil {
		return nil, err
	}
	made := make([]object.Object, len(written))
	for i, one := range written {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(one)
		if err != nil {
			return nil, fmt.Errorf("reading the definition %s: %w", one.Name, err)
		}
		if made[i], err = object.New(&unstructured.Unstructured{Object: content}, ""); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// kinds knows the kinds of a cluster where there is one, and those that are built in.
type kinds struct {
	builtin *schema.Judge
	cluster *kube.Cluster
}

// Map implements check.Kinds.
func (k kinds) Map(ctx context.Context, ref object.Ref) (kube.Mapping, error) {
	if k.cluster != nil {
		return k.cluster.Map(ctx, ref)
	}
	return k.builtin.Map(ctx, ref)
}
