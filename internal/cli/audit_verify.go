package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/audit/anchor"
)

type auditVerifyFlags struct {
	source     *auditSource
	target     *target
	output     output
	export     string
	checkpoint string
	keys       []string
	anchor     bool
}

func newAuditVerifyCommand(std Streams, target *target, source *auditSource) *cobra.Command {
	flags := auditVerifyFlags{source: source, target: target}
	command := &cobra.Command{
		Use:   "verify [EXPORT]",
		Short: "Find out whether any record was altered, removed, inserted or moved",
		Long: "Find out whether any record of the store, or of an export, was altered, removed, inserted or moved,\n" +
			"and name the first one. By itself, a log is compared with the checkpoints in it and the keys that it\n" +
			"names, which whoever can rewrite all of it can forge as well: --anchor, --key and --checkpoint bring\n" +
			"what is known from elsewhere.",
		Example: "  holdfast audit verify --anchor\n" +
			"  holdfast audit verify audit.jsonl --key holdfast.dev/audit+1234abcd+AY… --checkpoint last-week.txt",
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) == 1 {
				flags.export = args[0]
			}
			return runAuditVerify(command.Context(), std, flags)
		},
	}
	flags.output.register(command, outputJSON, outputYAML)
	set := command.Flags()
	set.StringVar(&flags.checkpoint, "checkpoint", "", "file with a checkpoint that the log has to agree with")
	set.StringArrayVar(&flags.keys, "key", nil, "verifier key to believe, and no other; may be repeated")
	set.BoolVar(&flags.anchor, "anchor", false, "believe the key and the checkpoint in the cluster (ConfigMap "+anchor.Name+")")
	return command
}

func runAuditVerify(ctx context.Context, std Streams, flags auditVerifyFlags) error {
	trust, err := flags.trust(ctx)
	if err != nil {
		return err
	}
	report, err := flags.judge(ctx, trust)
	var broken *audit.BrokenError
	if errors.As(err, &broken) {
		return hinted(err, "`holdfast audit show %d` shows what is there now; an earlier export or a backup may have what was", max(broken.From, 1))
	}
	if err != nil {
		return err
	}
	if flags.output.structured() {
		if err := flags.output.encode(std.Out, report, true); err != nil {
			return err
		}
	} else if err := sayVerified(std, report, len(trust.Verifiers) > 0); err != nil {
		return err
	}
	if report.Checkpoints == 0 && report.Size > 0 {
		return &failure{
			err:  errors.New("the records fit together, but no checkpoint vouches for them"),
			hint: "was the log ever signed, or is it another key's? The controller's log tells why it cannot sign", code: exitUnknown,
		}
	}
	return nil
}

// trust gathers what is known from elsewhere.
func (f auditVerifyFlags) trust(ctx context.Context) (audit.Trust, error) {
	trust := audit.Trust{Verifiers: f.keys}
	if f.checkpoint != "" {
		text, err := os.ReadFile(f.checkpoint)
		if err != nil {
			return trust, err
		}
		trust.Notes = append(trust.Notes, string(text))
	}
	if !f.anchor {
		return trust, nil
	}
	config, err := f.target.config()
	if err != nil {
		return trust, err
	}
	cluster, err := client.New(config, client.Options{})
	if err != nil {
		return trust, err
	}
	kept, err := anchor.Cluster{Client: cluster, Namespace: f.target.namespace}.Last(ctx)
	if err != nil {
		return trust, err
	}
	if kept.Note == "" {
		return trust, hinted(fmt.Errorf("there is no ConfigMap %s with a checkpoint in namespace %s", anchor.Name, f.target.namespace),
			"the controller writes it to its own namespace; -n names another")
	}
	trust.Verifiers, trust.Notes = append(trust.Verifiers, kept.Verifier), append(trust.Notes, kept.Note)
	return trust, nil
}

func (f auditVerifyFlags) judge(ctx context.Context, trust audit.Trust) (audit.Report, error) {
	if f.export != "" {
		file, err := os.Open(f.export)
		if err != nil {
			return audit.Report{}, err
		}
		defer func() { _ = file.Close() }()
		return audit.VerifyExport(file, trust)
	}
	log, err := f.source.open(ctx)
	if err != nil {
		return audit.Report{}, err
	}
	defer func() { _ = log.Close() }()
	return log.Verify(ctx, trust)
}

func sayVerified(std Streams, r audit.Report, known bool) error {
	if r.Size == 0 {
		_, err := fmt.Fprintln(std.Out, "The log is empty.")
		return err
	}
	fmt.Fprintf(std.Out, "%d records are as they were written.\n", r.Size)
	if r.Checkpoints > 0 {
		fmt.Fprintf(std.Out, "%d checkpoints vouch for the first %d, the last one of %s.\n", r.Checkpoints, r.Vouched, r.At.Local().Format(time.RFC3339))
	}
	if unsigned := r.Size - r.Vouched; unsigned > 0 && r.Checkpoints > 0 {
		fmt.Fprintf(std.Out, "%d are not signed yet.\n", unsigned)
	}
	if r.Dropped > 0 {
		fmt.Fprintf(std.Out, "%d were dropped by the retention: their hashes were seen, their contents were not.\n", r.Dropped)
	}
	if r.Foreign > 0 {
		fmt.Fprintf(std.Out, "%d checkpoints were signed by other keys and not considered.\n", r.Foreign)
	}
	if !known {
		fmt.Fprintln(std.Out, "The keys are those that the log names itself; --anchor or --key relies on others.")
	}
	return nil
}
