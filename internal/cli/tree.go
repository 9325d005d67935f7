package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/fleet"
	"holdfast.dev/holdfast/internal/cli/table"
	"holdfast.dev/holdfast/internal/model/revision"
)

type treeFlags struct {
	target *target
	unit   string
	output output
}

func newTreeCommand(std Streams, target *target) *cobra.Command {
	flags := treeFlags{target: target}
	command := &cobra.Command{
		Use:   "tree UNIT",
		Short: "Show the objects that a unit owns, with their health",
		Long: "Tree shows the objects that a unit owns with their health, and what nested units own in turn.\n" +
			"UNIT is a name, or a kind and a name where several kinds have it: helmrelease/apps.",
		Example:           "  holdfast tree apps\n  holdfast tree flux-system -o json",
		Args:              oneUnit,
		ValidArgsFunction: target.completeUnits,
		RunE: func(command *cobra.Command, args []string) error {
			flags.unit = args[0]
			return runTree(command.Context(), std, flags)
		},
	}
	flags.output.register(command, outputJSON, outputYAML)
	return command
}

func oneUnit(_ *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return hinted(fmt.Errorf("one unit is needed, %d are given", len(args)), "`holdfast get units` lists them")
}

func runTree(ctx context.Context, std Streams, flags treeFlags) error {
	named, err := parseSubject([]string{"unit", flags.unit})
	if err != nil {
		return err
	}
	cluster, err := flags.target.connect()
	if err != nil {
		return err
	}
	unit, err := cluster.Find(ctx, named.Kinds, flags.target.namespace, named.Names[0])
	if err != nil {
		return err
	}
	root, err := cluster.Tree(ctx, unit)
	if err != nil {
		return err
	}
	if flags.output.structured() {
		return flags.output.encode(std.Out, nodeOf(root), true)
	}
	printer := treePrinter{std: std, strokes: asciiStrokes}
	if std.lines() {
		printer.strokes = drawnStrokes
	}
	printer.print(root, "", "")
	_, err = fmt.Fprint(std.Out, printer.text.String())
	return err
}

// node is an object in the structured output; the names of its fields are for scripts.
type node struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	Health     string `json:"health"`
	Message    string `json:"message,omitempty"`
	Suspended  bool   `json:"suspended,omitempty"`
	Revision   string `json:"revision,omitempty"`
	Children   []node `json:"children,omitempty"`
}

func nodeOf(owned fleet.Owned) node {
	shown := node{
		APIVersion: owned.Ref.GVK().GroupVersion().String(), Kind: owned.Ref.Kind,
		Namespace: owned.Ref.Namespace, Name: owned.Ref.Name,
		Health: owned.Health, Message: owned.Message, Suspended: owned.Suspended, Revision: owned.Revision,
	}
	for _, child := range owned.Children {
		shown.Children = append(shown.Children, nodeOf(child))
	}
	return shown
}

// strokes are what branches are drawn with.
type strokes struct{ branch, last, pass, blank string }

var (
	asciiStrokes = strokes{"|-- ", "`-- ", "|   ", "    "}
	drawnStrokes = strokes{"├── ", "└── ", "│   ", "    "}
)

type treePrinter struct {
	std     Streams
	strokes strokes
	text    strings.Builder
}

// print writes a node after lead, and its children after indent.
func (p *treePrinter) print(node fleet.Owned, lead, indent string) {
	health := table.Paint(node.Health, healthTone(node.Health), p.std.Colour())
	fmt.Fprintf(&p.text, "%s%s  %s%s\n", lead, table.OneLine(node.Ref.String()), health, remarks(node))
	for i, child := range node.Children {
		if i == len(node.Children)-1 {
			p.print(child, indent+p.strokes.last, indent+p.strokes.blank)
			continue
		}
		p.print(child, indent+p.strokes.branch, indent+p.strokes.pass)
	}
}

// remarks is what else there is to say of a node.
func remarks(node fleet.Owned) string {
	var text strings.Builder
	if node.Revision != "" {
		text.WriteString("  " + table.OneLine(revision.Short(node.Revision)))
	}
	if node.Suspended {
		text.WriteString("  suspended")
	}
	if node.Message != "" {
		text.WriteString("  " + table.OneLine(table.ShortDigests(node.Message)))
	}
	if node.Again {
		text.WriteString("  (see above)")
	}
	return text.String()
}

func healthTone(health string) table.Tone {
	switch status.Status(health) {
	case status.CurrentStatus:
		return table.Good
	case status.FailedStatus, status.NotFoundStatus:
		return table.Bad
	default:
		return table.Busy
	}
}
