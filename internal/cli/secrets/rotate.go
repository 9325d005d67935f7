package secrets

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/table"
	"holdfast.dev/holdfast/internal/secret/atomic"
	"holdfast.dev/holdfast/internal/secret/document"
	"holdfast.dev/holdfast/internal/secret/keyring"
	"holdfast.dev/holdfast/internal/secret/rules"
)

type rotateFlags struct {
	keyFlags
	dryRun bool
	paths  []string
}

func newRotateCommand(std Streams, cluster Cluster) *cobra.Command {
	flags := rotateFlags{keyFlags: keyFlags{cluster: cluster}}
	command := &cobra.Command{
		Use:   "rotate [PATH...]",
		Short: "Encrypt files anew, to the recipients that .sops.yaml names now",
		Long: "Rotate gives each encrypted file a new data key and the recipients of its rule in .sops.yaml. Each\n" +
			"file is replaced as a whole: when rotate is interrupted, a file is either as it was or done, and\n" +
			"running it again does the rest.\n\n" +
			"A key that is taken off a file can still read what Git's history has of it. Rotate lists the files\n" +
			"where that is so: change the secrets in them at their source as well.",
		Example: "  holdfast secrets rotate --dry-run\n  holdfast secrets rotate clusters/prod --cluster-keys --context prod",
		RunE: func(command *cobra.Command, args []string) error {
			if flags.paths = args; len(args) == 0 {
				flags.paths = []string{"."}
			}
			return runRotate(command.Context(), std, flags)
		},
	}
	flags.register(command)
	command.Flags().BoolVar(&flags.dryRun, "dry-run", false, "change nothing, and show what would be done")
	return command
}

// rotation is what a rotate came to.
type rotation struct {
	done    int
	failed  map[string]error    // by file
	exposed map[string][]string // by key that was taken off: files that it could read
}

func runRotate(ctx context.Context, std Streams, flags rotateFlags) error {
	ring, err := flags.ring(ctx)
	if err != nil {
		return err
	}
	files, err := findEncrypted(flags.paths)
	if err != nil {
		return err
	}
	result := rotation{failed: map[string]error{}, exposed: map[string][]string{}}
	for _, file := range files {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		result.one(ctx, std, ring, file, flags.dryRun)
	}
	return result.conclude(std, len(files), flags.dryRun)
}

// one rotates a file, and says so.
func (r *rotation) one(ctx context.Context, std Streams, ring *keyring.Ring, file encrypted, dryRun bool) {
	added, removed, err := rotateFile(ctx, ring, file, dryRun)
	if err != nil {
		r.failed[file.name] = err
		return
	}
	r.done++
	verb := "rotated"
	if dryRun {
		verb = "would be rotated"
	}
	fmt.Fprintf(std.Out, "%s: %s\n", table.OneLine(file.name), verb)
	for _, one := range added {
		fmt.Fprintf(std.Out, "  + %s\n", table.OneLine(one.Name))
	}
	for _, one := range removed {
		fmt.Fprintf(std.Out, "  - %s\n", table.OneLine(one.Name))
		r.exposed[one.Name] = append(r.exposed[one.Name], file.name)
	}
}

func rotateFile(ctx context.Context, ring *keyring.Ring, file encrypted, dryRun bool) (added, removed []document.Recipient, err error) {
	if file.err != nil {
		return nil, nil, file.err
	}
	rule, err := rules.For(file.name)
	if err != nil {
		return nil, nil, err
	}
	added, removed = document.Difference(file.sealed.Recipients(), rule.Recipients())
	opened, err := file.sealed.Open(ctx, ring, true)
	if err != nil {
		return nil, nil, err
	}
	opened.Rekey(rule)
	sealed, err := opened.Seal(ctx, ring)
	if err != nil || dryRun {
		return added, removed, err
	}
	return added, removed, atomic.Write(file.name, sealed, 0o600)
}

// conclude says what remains to be done.
func (r *rotation) conclude(std Streams, files int, dryRun bool) error {
	if files == 0 {
		_, err := fmt.Fprintln(std.Err, "No encrypted file was found.")
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(r.exposed)) {
		fmt.Fprintf(std.Out, "%s could read %s. It still can in Git's history: change these secrets at their source.\n",
			table.OneLine(key), table.OneLine(strings.Join(r.exposed[key], ", ")))
	}
	if len(r.failed) == 0 {
		if !dryRun {
			fmt.Fprintf(std.Out, "All %d files have the recipients of %s and new data keys.\n", files, rules.Name)
		}
		return nil
	}
	hint := ""
	for _, name := range slices.Sorted(maps.Keys(r.failed)) {
		err := explain(name, r.failed[name])
		fmt.Fprintf(std.Err, "%s\n", table.OneLine(strings.ReplaceAll(err.Error(), "\n", "; ")))
		var known *Problem
		if errors.As(err, &known) && hint == "" {
			hint = known.hint
		}
	}
	return hinted(fmt.Errorf("%d of %d files remain on their old keys", len(r.failed), files), "%s", hint)
}
