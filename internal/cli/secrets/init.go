package secrets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/secret/atomic"
	"holdfast.dev/holdfast/internal/secret/keyring"
	"holdfast.dev/holdfast/internal/secret/rules"
	"holdfast.dev/holdfast/internal/secret/staged"
)

type initFlags struct {
	dir          string
	environments []string
	keys         string
	offline      bool
	postQuantum  bool
	noHook       bool
}

func newInitCommand(std Streams, cluster Cluster) *cobra.Command {
	var flags initFlags
	command := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Make a key for each environment, and the rules that use them",
		Long: "Init prepares a repository for secrets: it makes an age key for each environment (each folder in\n" +
			"clusters, or those named), adds the rules for clusters/NAME to .sops.yaml, and a hook that checks\n" +
			"each commit. What is there already stays as it is, and a second run changes nothing.\n\n" +
			"With one environment and a cluster that answers, the key is stored there, in the Secret\n" +
			secretName + " that Kustomizations name in spec.decryption. Otherwise each key goes into a file outside\n" +
			"of the repository, NAME.agekey, which only you can read.",
		Example: "  holdfast secrets init --env prod --context prod\n" +
			"  holdfast secrets init --env dev --env prod --keys ~/keys\n" +
			"  holdfast secrets init ./platform",
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			flags.dir = "."
			if len(args) == 1 {
				flags.dir = args[0]
			}
			return runInit(command.Context(), std, cluster, flags)
		},
	}
	set := command.Flags()
	set.StringArrayVar(&flags.environments, "env", nil, "environment, a folder in clusters (may be repeated; default all)")
	set.StringVar(&flags.keys, "keys", "", "folder for keys, outside of the repository; implies --offline (default: holdfast/keys in the folder of settings)")
	set.BoolVar(&flags.offline, "offline", false, "store no key in a cluster")
	set.BoolVar(&flags.postQuantum, "post-quantum", false, "make keys that a quantum computer does not break; needs age 1.3, Flux 2.9 or Holdfast to decrypt")
	set.BoolVar(&flags.noHook, "no-hook", false, "add no hook for commits")
	_ = command.MarkFlagDirname("keys")
	return command
}

func runInit(ctx context.Context, std Streams, cluster Cluster, flags initFlags) error {
	root, repository, err := top(flags.dir)
	if err != nil {
		return err
	}
	if len(flags.environments) == 0 {
		if flags.environments, err = environmentsOf(root); err != nil {
			return err
		}
	}
	for _, name := range flags.environments {
		if name == "" || strings.ContainsAny(name, "/\\") || strings.HasPrefix(name, ".") {
			return fmt.Errorf("%q is no name of an environment", name)
		}
	}
	places, err := keyPlaces(ctx, std, cluster, root, flags)
	if err != nil {
		return err
	}
	for _, name := range flags.environments {
		recipient, err := places.key(ctx, std, name, flags.postQuantum)
		if err != nil {
			return err
		}
		if err := addRules(std, root, name, recipient); err != nil {
			return err
		}
	}
	if flags.noHook || repository == nil {
		return nil
	}
	return addHook(std, repository)
}

// top finds the top of the repository that a folder is in. A folder in none is its own top.
func top(dir string) (string, *staged.Repository, error) {
	absolute, err := filepath.Abs(dir)
	if err == nil {
		absolute, err = filepath.EvalSymlinks(absolute)
	}
	if err != nil {
		return "", nil, fmt.Errorf("finding %s: %w", dir, err)
	}
	repository, err := staged.Open(absolute)
	if errors.Is(err, staged.ErrNone) {
		return absolute, nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	return repository.Root(), repository, nil
}

func environmentsOf(root string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(root, "clusters"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("finding the environments: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	if len(names) == 0 {
		return nil, hinted(fmt.Errorf("finding the environments: %s has no folder in clusters", root), "name one with --env")
	}
	return names, nil
}

// places are where keys are kept: in one cluster, or in files.
type places struct {
	cluster *reached
	folder  string
}

func keyPlaces(ctx context.Context, std Streams, cluster Cluster, root string, flags initFlags) (places, error) {
	if len(flags.environments) == 1 && flags.keys == "" && !flags.offline {
		found, err := cluster.connect()
		if err == nil {
			const patience = 5 * time.Second
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			_, err = found.secret(ctx)
		}
		if err == nil {
			return places{cluster: found}, nil
		}
		fmt.Fprintf(std.Err, "No cluster is at hand (%s), so the key goes into a file.\n", err)
	}
	folder := flags.keys
	if folder == "" {
		config, err := os.UserConfigDir()
		if err != nil {
			return places{}, hinted(fmt.Errorf("finding the folder of settings: %w", err), "name a folder with --keys")
		}
		folder = keyring.Folder(config)
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return places{}, fmt.Errorf("finding %s: %w", flags.keys, err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return places{}, fmt.Errorf("making the folder for keys: %w", err)
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return places{}, fmt.Errorf("finding %s: %w", flags.keys, err)
	}
	if inside, err := filepath.Rel(root, folder); err != nil || inside == "." || !strings.HasPrefix(inside, "..") {
		return places{}, hinted(fmt.Errorf("%s lies in the repository %s, where a key must never be", folder, root), "name a folder elsewhere with --keys")
	}
	return places{folder: folder}, nil
}

// key returns the public half of an environment's key, which is made where there is none.
func (p places) key(ctx context.Context, std Streams, environment string, postQuantum bool) (string, error) {
	if p.cluster != nil {
		return p.inCluster(ctx, std, environment, postQuantum)
	}
	name := filepath.Join(p.folder, environment+".agekey")
	if _, err := os.Lstat(name); err == nil {
		ring, err := keyring.Load(keyring.Options{Files: []string{name}})
		if err != nil {
			return "", err
		}
		recipient := ring.Identities()[0].Recipient
		fmt.Fprintf(std.Out, "%s: the key %s is in %s already\n", environment, recipient, name)
		return recipient, nil
	}
	recipient, key, err := keyring.New(keyring.Making{PostQuantum: postQuantum})
	if err != nil {
		return "", err
	}
	if err := atomic.Write(name, key.Reveal(), 0o600); err != nil {
		return "", err
	}
	fmt.Fprintf(std.Out, "%s: made the key %s in %s\n", environment, recipient, name)
	fmt.Fprintf(std.Out, "%s: give it to the cluster with: kubectl -n %s create secret generic %s --from-file=%s=%s\n",
		environment, "flux-system", secretName, secretKey, name)
	return recipient, nil
}

func (p places) inCluster(ctx context.Context, std Streams, environment string, postQuantum bool) (string, error) {
	where := fmt.Sprintf("Secret %s/%s of %s", p.cluster.namespace, secretName, p.cluster.host)
	secret, err := p.cluster.secret(ctx)
	if err != nil {
		return "", err
	}
	if secret != nil {
		recipient, err := recipientIn(secret)
		if err != nil {
			return "", hinted(fmt.Errorf("%s: %w", where, err), "its entries must end in .agekey, as in %s", secretKey)
		}
		fmt.Fprintf(std.Out, "%s: the key %s is in %s already\n", environment, recipient, where)
		return recipient, nil
	}
	recipient, key, err := keyring.New(keyring.Making{PostQuantum: postQuantum})
	if err != nil {
		return "", err
	}
	if err := p.cluster.store(ctx, key); err != nil {
		return "", err
	}
	fmt.Fprintf(std.Out, "%s: made the key %s in %s\n", environment, recipient, where)
	fmt.Fprintf(std.Out, "%s: keep a copy in a safe place: without it, nothing that is encrypted can be read again\n", environment)
	return recipient, nil
}

func addRules(std Streams, root, environment, recipient string) error {
	name := filepath.Join(root, rules.Name)
	content, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	next, changes, err := rules.Add(content, rules.Environment{Folder: "clusters/" + environment, Recipient: recipient})
	if errors.Is(err, rules.ErrByHand) {
		return hinted(fmt.Errorf("changing %s: %w", name, err), "add %s to the rule for clusters/%s", recipient, environment)
	}
	if err != nil {
		return fmt.Errorf("changing %s: %w", name, err)
	}
	if len(changes) == 0 {
		fmt.Fprintf(std.Out, "%s: the rules in %s name the key already\n", environment, rules.Name)
		return nil
	}
	if err := atomic.Write(name, next, 0o644); err != nil {
		return err
	}
	what := "added the key to the rules"
	if slices.ContainsFunc(changes, func(c rules.Change) bool { return c.New }) {
		what = "added rules"
	}
	fmt.Fprintf(std.Out, "%s: %s in %s\n", environment, what, rules.Name)
	return nil
}
