package secrets

import (
	"io"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/cli/table"
)

// Streams are where the commands read from and write to.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Style    table.Style
}

// Cluster says which cluster to ask, and where in it.
type Cluster struct {
	Reach     func() (*rest.Config, error)
	Namespace func() string
}

// New makes the commands.
func New(std Streams, cluster Cluster) *cobra.Command {
	command := &cobra.Command{
		Use:   "secrets",
		Short: "Write, rotate and check encrypted secrets in a repository",
		Long: "Secrets are kept in Git in encrypted form, in files that the sops program reads and writes as well.\n" +
			"Only the values are encrypted, so that a change can be reviewed. Who can read a file is said in\n" +
			".sops.yaml; a cluster decrypts with the age key in its Secret flux-system/sops-age.\n\n" +
			"Keys are looked for where sops looks for them (SOPS_AGE_KEY, SOPS_AGE_KEY_FILE, sops/age/keys.txt\n" +
			"in the folder of settings, ~/.ssh), and in holdfast/keys in the folder of settings. No command is\n" +
			"ever run to get a key.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(
		newInitCommand(std, cluster),
		newEncryptCommand(std, cluster),
		newDecryptCommand(std, cluster),
		newEditCommand(std, cluster),
		newSetCommand(std, cluster),
		newCheckCommand(std),
		newRecipientsCommand(std, cluster),
		newRotateCommand(std, cluster),
	)
	return command
}
