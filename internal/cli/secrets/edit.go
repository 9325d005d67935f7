package secrets

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/secrets/editor"
	"holdfast.dev/holdfast/internal/secret/atomic"
	"holdfast.dev/holdfast/internal/secret/document"
	"holdfast.dev/holdfast/internal/secret/keyring"
	"holdfast.dev/holdfast/internal/secret/rules"
)

func newEditCommand(std Streams, cluster Cluster) *cobra.Command {
	flags := keyFlags{cluster: cluster}
	command := &cobra.Command{
		Use:   "edit FILE",
		Short: "Change an encrypted file in your editor, or begin a new one",
		Long: "Edit opens the file in plain text in $VISUAL or $EDITOR, and encrypts what you leave. The text is in\n" +
			"a private folder meanwhile, in memory where the machine offers that, and is removed afterwards, also\n" +
			"when the command is ended. A file that is not there yet is begun, as the rules in .sops.yaml say.",
		Example: "  holdfast secrets edit clusters/prod/database.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			ring, err := flags.ring(command.Context())
			if err != nil {
				return err
			}
			return explain(args[0], runEdit(command.Context(), std, ring, args[0]))
		},
	}
	flags.register(command)
	return command
}

func runEdit(ctx context.Context, std Streams, ring *keyring.Ring, file string) (err error) {
	opened, before, err := begin(ctx, ring, file)
	if err != nil {
		return err
	}
	session, err := editor.Editor{Command: editor.Command(os.Getenv), In: std.In, Out: std.Out, Err: std.Err}.Begin(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	text := before
	for {
		edited, err := session.Edit(ctx, text)
		if err != nil {
			return err
		}
		if bytes.Equal(edited, before) {
			fmt.Fprintf(std.Out, "%s: nothing was changed\n", file)
			return nil
		}
		if err = opened.Replace(edited); err == nil {
			break
		}
		if !again(std, err) {
			return err
		}
		text = edited
	}
	sealed, err := opened.Seal(ctx, ring)
	if err != nil {
		return err
	}
	if err := atomic.Write(file, sealed, 0o600); err != nil {
		return err
	}
	fmt.Fprintf(std.Out, "%s: encrypted\n", file)
	return nil
}

// begin opens a file, or begins one that is not there.
func begin(ctx context.Context, ring *keyring.Ring, file string) (*document.Opened, []byte, error) {
	opened, err := openFile(ctx, ring, file)
	if errors.Is(err, fs.ErrNotExist) {
		rule, err := rules.For(file)
		if err != nil {
			return nil, nil, err
		}
		text := template(document.FormatOf(file))
		opened, err := document.Plain(file, text, rule)
		return opened, text, err
	}
	if err != nil {
		return nil, nil, err
	}
	text, err := opened.Plain()
	return opened, text, err
}

func template(format document.Format) []byte {
	switch format {
	case document.YAML:
		return []byte("apiVersion: v1\nkind: Secret\nmetadata:\n    name: NAME\n    namespace: NAMESPACE\nstringData:\n    KEY: VALUE\n")
	case document.JSON:
		return []byte("{\n\t\"KEY\": \"VALUE\"\n}\n")
	case document.Dotenv:
		return []byte("KEY=VALUE\n")
	case document.INI:
		return []byte("[section]\nkey = value\n")
	default:
		return []byte("\n")
	}
}

// again asks whether to go back to the editor with a text that cannot be read. Where nobody can answer,
// the answer is no, and the text is given up: it must not be left in the clear.
func again(std Streams, problem error) bool {
	in, isFile := std.In.(*os.File)
	if !isFile || !isTerminal(in) {
		return false
	}
	fmt.Fprintf(std.Err, "The text cannot be encrypted: %s.\nGo back to the editor? [Y/n] ", problem)
	answer, err := bufio.NewReader(in).ReadString('\n')
	return err == nil && !strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "n")
}
