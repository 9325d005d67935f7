package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	manifests "holdfast.dev/holdfast/config/install"
	"holdfast.dev/holdfast/internal/cli/install"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
)

type installFlags struct {
	manifests.Options
	target  *target
	export  bool
	timeout time.Duration
}

func newInstallCommand(std Streams, target *target) *cobra.Command {
	f := installFlags{target: target}
	command := &cobra.Command{
		Use:   "install --image IMAGE",
		Short: "Install the controller in a cluster, or bring it up to date",
		Long: "Install applies the definitions of all kinds and the controller's manifests to the cluster of the\n" +
			"kubeconfig, and waits until the controller is ready. The image is one that you have built from the\n" +
			"Dockerfile and pushed to a registry that the cluster can pull from. Doing it again with another\n" +
			"image is how to update.",
		Example: "  holdfast install --image registry.example.org/holdfast-controller:1.0\n" +
			"  holdfast install --image registry.example.org/holdfast-controller:1.0 --export > holdfast.yaml\n" +
			"  holdfast install --image registry.example.org/holdfast-controller:1.0 --default-service-account tenant",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return runInstall(command.Context(), std, f) },
	}
	flags := command.Flags()
	flags.StringVar(&f.Image, "image", "", "container image of the controller")
	flags.IntVar(&f.Replicas, "replicas", 1, "replicas; one works and the others take over")
	flags.StringVar(&f.DefaultServiceAccount, "default-service-account", "",
		"account to act as where a unit names none; the controller then has no right to deliver in its own name")
	flags.BoolVar(&f.export, "export", false, "print the manifests and change nothing")
	flags.DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long to wait until the controller is ready")
	return command
}

func runInstall(ctx context.Context, std Streams, f installFlags) error {
	if f.Image == "" {
		return hinted(errors.New("--image is missing"),
			"build one with `docker build -t IMAGE .` in a checkout of Holdfast, push it, and name it here")
	}
	f.Namespace = f.target.namespace
	if f.export {
		return exportManifests(std, f.Options)
	}
	cluster, err := f.target.kube()
	if err != nil {
		return err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	err = install.Apply(ctx, cluster, f.Options, func(ref object.Ref) { fmt.Fprintf(std.Out, "%s applied\n", kubectlName(ref)) })
	if err != nil {
		return err
	}
	fmt.Fprintln(std.Err, "waiting for the controller")
	if err := install.Await(ctx, cluster, f.Namespace); err != nil {
		return hinted(err, "it goes on without us; see it with `kubectl -n %s describe pods`", f.Namespace)
	}
	fmt.Fprintf(std.Out, "The controller is ready in namespace %s after %.1f s.\n", f.Namespace, time.Since(began).Seconds())
	return nil
}

func exportManifests(std Streams, o manifests.Options) error {
	objects, err := install.Manifests(o)
	if err != nil {
		return err
	}
	for i, u := range objects {
		if err := outputYAML.encode(std.Out, u.Object, i == 0); err != nil {
			return err
		}
	}
	return nil
}

// kube returns the cluster as the controller's own parts see it.
func (t *target) kube() (*kube.Cluster, error) {
	config, err := t.config()
	if err != nil {
		return nil, err
	}
	return kube.Connect("", config, kube.Options{UserAgent: config.UserAgent})
}

type uninstallFlags struct {
	target  *target
	all     bool
	timeout time.Duration
}

func newUninstallCommand(std Streams, target *target) *cobra.Command {
	f := uninstallFlags{target: target}
	command := &cobra.Command{
		Use:   "uninstall",
		Short: "Take the controller out of a cluster",
		Long: "Uninstall deletes the controller and its rights. Everything that units have delivered stays, and so do\n" +
			"the units, the sources and their definitions, unless --all is given: then they are deleted with the\n" +
			"namespace, and what was delivered still stays.",
		Example: "  holdfast uninstall\n  holdfast uninstall --all",
		Args:    cobra.NoArgs,
		RunE:    func(command *cobra.Command, _ []string) error { return runUninstall(command.Context(), std, f) },
	}
	command.Flags().BoolVar(&f.all, "all", false, "delete all units and sources of the cluster, their definitions, and the namespace, too")
	command.Flags().DurationVar(&f.timeout, "timeout", 2*time.Minute, "how long to wait until everything is gone")
	return command
}

func runUninstall(ctx context.Context, std Streams, f uninstallFlags) error {
	cluster, err := f.target.kube()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	removed := func(ref object.Ref) { fmt.Fprintf(std.Out, "%s deleted\n", kubectlName(ref)) }
	if f.all {
		if err := install.RemoveAll(ctx, cluster, f.target.namespace, removed); err != nil {
			return err
		}
		fmt.Fprintln(std.Out, "Everything of Holdfast is gone. What units have delivered is left as it was.")
		return nil
	}
	if err := install.Remove(ctx, cluster, f.target.namespace, removed); err != nil {
		return err
	}
	fmt.Fprintln(std.Out, "The controller is gone. Units and sources are left, and so is what they have delivered.")
	return nil
}
