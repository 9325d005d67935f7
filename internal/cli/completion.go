package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"holdfast.dev/holdfast/internal/cli/fleet"
)

// completer completes one word of the command line.
type completer = cobra.CompletionFunc

// completionTimeout is how long a person waits for the shell before it is better to say nothing.
const completionTimeout = 3 * time.Second

// complete sets how a flag's value is completed. The flag must exist.
func complete(command *cobra.Command, flag string, with completer) {
	if err := command.RegisterFlagCompletionFunc(flag, with); err != nil {
		panic(err) // a mistake in this program, found by the first start of it
	}
}

// fixed completes from a list.
func fixed(words ...string) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeSubject completes the first argument from words, and what follows with the names of the
// resources that the cluster has.
func (t *target) completeSubject(words ...string) completer {
	return func(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return words, cobra.ShellCompDirectiveNoFileComp
		}
		return t.names(command.Context(), fleet.KindsNamed(args[0]), args[1:]), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeUnits completes one argument with the names of units.
func (t *target) completeUnits(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return t.names(command.Context(), fleet.KindsNamed("units"), nil), cobra.ShellCompDirectiveNoFileComp
}

// names lists the names of the kinds' resources, without those that are given already. Nothing that
// goes wrong is of interest to somebody who pressed the tab key.
func (t *target) names(ctx context.Context, kinds []fleet.Kind, given []string) []string {
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	cluster, err := t.connect()
	if err != nil || len(kinds) == 0 {
		return nil
	}
	resources, err := cluster.List(ctx, kinds, fleet.Selection{Namespace: t.namespace})
	if err != nil {
		return nil
	}
	var names []string
	for _, resource := range resources {
		if name := resource.Object.GetName(); !slices.Contains(given, name) {
			names = append(names, name+"\t"+strings.ToLower(resource.Kind.Kind))
		}
	}
	return names
}

func (t *target) completeNamespaces(command *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(command.Context(), completionTimeout)
	defer cancel()
	cluster, err := t.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list := &corev1.NamespaceList{}
	if err := cluster.Client().List(ctx, list); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := make([]string, len(list.Items))
	for i := range list.Items {
		names[i] = list.Items[i].Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (t *target) completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	loader, err := t.loader()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	config, err := loader.RawConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for name := range config.Contexts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, cobra.ShellCompDirectiveNoFileComp
}
