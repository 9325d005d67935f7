package cli

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/cli/fleet"
	"holdfast.dev/holdfast/internal/cli/table"
	"holdfast.dev/holdfast/internal/model/revision"
)

// resourcePrinter shows units and sources in the format that was asked for.
type resourcePrinter struct {
	std    Streams
	output output
	single bool // one was asked for by name: structured output is the object, not a list
	spaces bool // with a column for namespaces
	now    func() time.Time
	table  *table.Writer
	begun  bool
}

func newResourcePrinter(std Streams, flags getFlags) *resourcePrinter {
	printer := &resourcePrinter{
		std: std, output: flags.output, spaces: flags.allNamespaces, now: flags.target.now,
		single: len(flags.subject.Names) == 1 && !flags.allNamespaces,
	}
	style := std.style()
	style.Wide, style.Headless = flags.output == outputWide, flags.headless
	columns := []table.Column{
		{Title: "KIND"}, {Title: "NAME"}, {Title: "READY"}, {Title: "SUSPENDED"}, {Title: "REVISION"},
		{Title: "SOURCE", Wide: true}, {Title: "PATH", Wide: true}, {Title: "AGE"}, {Title: "MESSAGE", Shrinks: true},
	}
	if printer.spaces {
		columns = append([]table.Column{{Title: "NAMESPACE"}}, columns...)
	}
	printer.table = table.NewWriter(std.Out, style, columns...)
	return printer
}

// print shows all resources at once.
func (p *resourcePrinter) print(resources []fleet.Resource) error {
	switch {
	case p.output == outputName:
		return p.printNames(resources)
	case p.output.structured():
		items := make([]any, len(resources))
		for i, resource := range resources {
			items[i] = withoutManagers(resource.Object).Object
		}
		if p.single && len(items) == 1 {
			return p.output.encode(p.std.Out, items[0], true)
		}
		return p.output.encode(p.std.Out, listOf(items), true)
	default:
		rows := make([]table.Row, len(resources))
		for i, resource := range resources {
			rows[i] = p.row(resource)
		}
		return p.table.Write(rows...)
	}
}

// printChange shows one resource as it is now.
func (p *resourcePrinter) printChange(change fleet.Change) error {
	resource := change.Resource
	first := !p.begun
	p.begun = true
	switch {
	case p.output == outputName:
		return p.printNames([]fleet.Resource{resource})
	case p.output.structured():
		return p.output.encode(p.std.Out, withoutManagers(resource.Object).Object, first)
	default:
		row := p.row(resource)
		if change.Deleted {
			row[len(row)-1] = table.Cell{Text: "deleted", Tone: table.Faint}
		}
		return p.table.Write(row)
	}
}

// printNames writes names as kubectl takes them: "kustomization.kustomize.toolkit.fluxcd.io/apps".
func (p *resourcePrinter) printNames(resources []fleet.Resource) error {
	for _, resource := range resources {
		if _, err := fmt.Fprintln(p.std.Out, kubectlName(resource.Ref())); err != nil {
			return err
		}
	}
	return nil
}

func (p *resourcePrinter) row(resource fleet.Resource) table.Row {
	ready, shown, message := resource.Ready(), revision.Short(resource.Revision()), table.ShortDigests(resource.Ready().Message)
	if p.output == outputWide {
		shown, message = resource.Revision(), ready.Message
	}
	row := table.Row{
		{Text: resource.Kind.Word()},
		{Text: resource.Object.GetName()},
		readyCell(resource),
		suspendedCell(resource),
		{Text: shown},
		{Text: resource.Origin()},
		{Text: resource.Spec.Path},
		{Text: table.Age(resource.Object.GetCreationTimestamp().Time, p.now())},
		{Text: message},
	}
	if p.spaces {
		row = append(table.Row{{Text: resource.Object.GetNamespace()}}, row...)
	}
	return row
}

func readyCell(resource fleet.Resource) table.Cell {
	if resource.Static() {
		return table.Cell{Text: "-", Tone: table.Faint}
	}
	status := resource.Ready().Status
	return table.Cell{Text: string(status), Tone: readyTone(status)}
}

func readyTone(status metav1.ConditionStatus) table.Tone {
	switch status {
	case metav1.ConditionTrue:
		return table.Good
	case metav1.ConditionFalse:
		return table.Bad
	default:
		return table.Busy
	}
}

func suspendedCell(resource fleet.Resource) table.Cell {
	if resource.Spec.Suspend {
		return table.Cell{Text: "True", Tone: table.Busy}
	}
	return table.Cell{Text: "False"}
}

// withoutManagers leaves out managedFields, as kubectl does: they are for the server.
func withoutManagers(u *unstructured.Unstructured) *unstructured.Unstructured {
	shown := u.DeepCopy()
	shown.SetManagedFields(nil)
	return shown
}
