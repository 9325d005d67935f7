package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"

	"holdfast.dev/holdfast/internal/cli/fleet"
)

type getFlags struct {
	target        *target
	subject       fleet.Subject
	output        output
	allNamespaces bool
	watch         bool
	headless      bool
	status        string
	labels        string
}

func newGetCommand(std Streams, target *target) *cobra.Command {
	flags := getFlags{target: target}
	command := &cobra.Command{
		Use:   "get (units|sources|receivers|all|KIND) [NAME...]",
		Short: "List units, sources and receivers with their state",
		Example: "  holdfast get all\n" +
			"  holdfast get units -A --status-selector ready=false\n" +
			"  holdfast get source platform -o yaml\n" +
			"  holdfast get units --watch",
		ValidArgsFunction: target.completeSubject("units", "sources", "receivers", "all"),
		RunE: func(command *cobra.Command, args []string) (err error) {
			if flags.subject, err = parseSubject(args); err != nil {
				return err
			}
			return runGet(command.Context(), std, flags)
		},
	}
	flags.output.register(command, outputJSON, outputYAML, outputWide, outputName)
	set := command.Flags()
	set.BoolVarP(&flags.allNamespaces, "all-namespaces", "A", false, "list all namespaces")
	set.BoolVarP(&flags.watch, "watch", "w", false, "go on and show changes as they come")
	set.BoolVar(&flags.headless, "no-header", false, "leave the titles of the columns out")
	set.StringVar(&flags.status, "status-selector", "", "show those with these conditions only, for example ready=false or suspended=true")
	set.StringVarP(&flags.labels, "selector", "l", "", "show those with these labels only")
	complete(command, "status-selector", fixed("ready=true", "ready=false", "ready=unknown", "suspended=true"))
	return command
}

func runGet(ctx context.Context, std Streams, flags getFlags) error {
	status, err := fleet.ParseStatusFilter(flags.status)
	if err != nil {
		return hinted(err, "give a condition and true, false or unknown, for example ready=false")
	}
	selection := fleet.Selection{Namespace: flags.target.namespace, Names: flags.subject.Names}
	if flags.allNamespaces {
		selection.Namespace = ""
	}
	if flags.labels != "" {
		if selection.Labels, err = labels.Parse(flags.labels); err != nil {
			return hinted(fmt.Errorf("reading the label selector: %w", err), "write it as kubectl takes it, for example team=web")
		}
	}
	cluster, err := flags.target.connect()
	if err != nil {
		return err
	}
	shown := newResourcePrinter(std, flags)
	if flags.watch {
		return watchResources(ctx, cluster, flags.subject.Kinds, selection, status, shown)
	}
	resources, err := cluster.List(ctx, flags.subject.Kinds, selection)
	if err != nil {
		return err
	}
	absent := missing(flags.subject, selection.Namespace, resources)
	kept := keep(resources, status)
	switch {
	case len(kept) == 0 && absent != nil:
		return absent
	case len(kept) == 0 && !flags.output.structured():
		return sayNothingFound(std, flags)
	}
	if err := shown.print(kept); err != nil {
		return err
	}
	return absent
}

// watchResources shows each resource as it is, and then as it changes, until the person ends it.
func watchResources(ctx context.Context, cluster *fleet.Cluster, kinds []fleet.Kind, selection fleet.Selection, status fleet.StatusFilter, shown *resourcePrinter) error {
	err := cluster.Follow(ctx, kinds, selection, func(change fleet.Change) (bool, error) {
		if !status.Keeps(change.Resource) {
			return false, nil
		}
		return false, shown.printChange(change)
	})
	if ctx.Err() != nil {
		return nil // the way to end a watch
	}
	return err
}

func keep(resources []fleet.Resource, status fleet.StatusFilter) []fleet.Resource {
	var kept []fleet.Resource
	for _, resource := range resources {
		if status.Keeps(resource) {
			kept = append(kept, resource)
		}
	}
	return kept
}

// missing returns an error for the first name that is asked for and not there.
func missing(wanted fleet.Subject, namespace string, resources []fleet.Resource) error {
	there := map[string]bool{}
	for _, resource := range resources {
		there[resource.Object.GetName()] = true
	}
	for _, name := range wanted.Names {
		if !there[name] {
			return &fleet.NotFoundError{Kinds: wanted.Kinds, Namespace: namespace, Name: name}
		}
	}
	return nil
}

// sayNothingFound tells a person that the list is empty; scripts find nothing on Out.
func sayNothingFound(std Streams, flags getFlags) error {
	place := fmt.Sprintf("namespace %q", flags.target.namespace)
	if flags.allNamespaces {
		place = "any namespace"
	}
	_, err := fmt.Fprintf(std.Err, "Nothing found in %s.\n", place)
	return err
}
