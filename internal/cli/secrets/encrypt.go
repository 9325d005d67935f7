package secrets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/secret/atomic"
	"holdfast.dev/holdfast/internal/secret/document"
	"holdfast.dev/holdfast/internal/secret/keyring"
	"holdfast.dev/holdfast/internal/secret/rules"
)

// maxFile bounds a file that is encrypted: the API server takes no Secret above 1 MiB.
const maxFile = 16 << 20

func newEncryptCommand(std Streams, cluster Cluster) *cobra.Command {
	flags := keyFlags{cluster: cluster}
	return &cobra.Command{
		Use:   "encrypt FILE...",
		Short: "Encrypt plain files in place, to the recipients that .sops.yaml names",
		Long: "Encrypt writes each file anew with its values encrypted, as the rule for it in .sops.yaml says. The\n" +
			"format follows from the name: YAML, JSON, .env and .ini keep their structure, all else is encrypted\n" +
			"as a whole. What was plain before may still be in Git's history, or in a backup.",
		Example: "  holdfast secrets encrypt clusters/prod/database.yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			ring, err := flags.ring(command.Context())
			if err != nil {
				return err
			}
			for _, file := range args {
				if err := encryptFile(command.Context(), ring, file); err != nil {
					return explain(file, err)
				}
				fmt.Fprintf(std.Out, "%s: encrypted\n", file)
			}
			return nil
		},
	}
}

func encryptFile(ctx context.Context, ring *keyring.Ring, file string) error {
	content, err := readFile(file)
	if err != nil {
		return err
	}
	if _, err := document.Read(file, content, nil); err == nil {
		return document.ErrEncrypted
	}
	sealed, err := seal(ctx, ring, file, content)
	if err != nil {
		return err
	}
	return atomic.Write(file, sealed, 0o600)
}

// seal encrypts content as the rule for a file says.
func seal(ctx context.Context, ring *keyring.Ring, file string, content []byte) ([]byte, error) {
	rule, err := rules.For(file)
	if err != nil {
		return nil, err
	}
	opened, err := document.Plain(file, content, rule)
	if err != nil {
		return nil, err
	}
	return opened.Seal(ctx, ring)
}

func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, bare(err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, bare(err)
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("it is larger than %d MiB", maxFile>>20)
	}
	return content, nil
}

// bare takes the path off an error of the file system: what is told of a file names it already.
func bare(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// openFile reads and decrypts a file.
func openFile(ctx context.Context, ring *keyring.Ring, file string) (*document.Opened, error) {
	content, err := readFile(file)
	if err != nil {
		return nil, err
	}
	sealed, err := document.Read(file, content, rules.Style(file))
	if err != nil {
		return nil, err
	}
	return sealed.Open(ctx, ring, true)
}

func newDecryptCommand(std Streams, cluster Cluster) *cobra.Command {
	flags := keyFlags{cluster: cluster}
	command := &cobra.Command{
		Use:     "decrypt FILE",
		Short:   "Print a file in plain text",
		Long:    "Decrypt prints a file in plain text to standard output, and writes it nowhere.",
		Example: "  holdfast secrets decrypt clusters/prod/database.yaml\n  holdfast secrets decrypt clusters/prod/database.yaml --cluster-keys --context prod",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			ring, err := flags.ring(command.Context())
			if err != nil {
				return err
			}
			opened, err := openFile(command.Context(), ring, args[0])
			if err != nil {
				return explain(args[0], err)
			}
			plain, err := opened.Plain()
			if err != nil {
				return explain(args[0], err)
			}
			_, err = std.Out.Write(plain)
			return err
		},
	}
	flags.register(command)
	return command
}
