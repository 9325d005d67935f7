package secrets

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/secret/atomic"
	"holdfast.dev/holdfast/internal/secret/document"
)

type setFlags struct {
	keyFlags
	file, path string
	document   int
	base64     bool
	json       bool
	raw        bool
}

func newSetCommand(std Streams, cluster Cluster) *cobra.Command {
	flags := setFlags{keyFlags: keyFlags{cluster: cluster}}
	command := &cobra.Command{
		Use:   "set FILE PATH",
		Short: "Set one value in an encrypted file, read from standard input",
		Long: "Set changes one value and leaves the rest of the file as it is. The value is read from standard\n" +
			"input, so that it is in no history of a shell and in no list of processes; one line end after it\n" +
			"does not count. PATH is keys between dots; a key with other characters stands quoted in brackets,\n" +
			"and a number in brackets is an item of a list.",
		Example: "  openssl rand -hex 20 | holdfast secrets set clusters/prod/db.yaml stringData.password\n" +
			"  holdfast secrets set clusters/prod/tls.yaml 'data[\"tls.key\"]' --base64 < tls.key",
		Args: cobra.ExactArgs(2),
		RunE: func(command *cobra.Command, args []string) error {
			flags.file, flags.path = args[0], args[1]
			return runSet(command.Context(), std, flags)
		},
	}
	flags.register(command)
	set := command.Flags()
	set.IntVar(&flags.document, "document", 0, "which document of the file, from 1 (needed only where there are several)")
	set.BoolVar(&flags.base64, "base64", false, "encode the value, as data of a Secret wants it")
	set.BoolVar(&flags.json, "json", false, "the value is JSON: a number, true or false keeps its type")
	set.BoolVar(&flags.raw, "raw", false, "keep a line end after the value")
	command.MarkFlagsMutuallyExclusive("base64", "json")
	return command
}

func runSet(ctx context.Context, std Streams, flags setFlags) error {
	path, err := document.ParsePath(flags.path)
	if err != nil {
		return hinted(err, "for example stringData.password, or data[\"tls.key\"]")
	}
	ring, err := flags.ring(ctx)
	if err != nil {
		return err
	}
	opened, err := openFile(ctx, ring, flags.file)
	if err != nil {
		return explain(flags.file, err)
	}
	if flags.document == 0 && opened.Documents() > 1 {
		return hinted(fmt.Errorf("%s: it has %d documents", flags.file, opened.Documents()), "say which with --document, from 1")
	}
	number := max(flags.document-1, 0)
	if number >= opened.Documents() {
		return fmt.Errorf("%s: it has %d documents", flags.file, opened.Documents())
	}
	value, err := flags.read(std.In)
	if err != nil {
		return fmt.Errorf("reading the value from standard input: %w", err)
	}
	if err := checkData(opened.Kind(number), path, value); err != nil {
		return explain(flags.file, err)
	}
	changed, err := opened.Set(number, path, value)
	if err != nil {
		return explain(flags.file, err)
	}
	if !changed {
		fmt.Fprintf(std.Out, "%s: %s has this value already\n", flags.file, path)
		return nil
	}
	sealed, err := opened.Seal(ctx, ring)
	if err != nil {
		return explain(flags.file, err)
	}
	if err := atomic.Write(flags.file, sealed, 0o600); err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.Out, "%s: %s is set\n", flags.file, path)
	return err
}

func (f setFlags) read(in io.Reader) (any, error) {
	content, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("it is larger than %d MiB", maxFile>>20)
	}
	if !f.raw {
		content = bytes.TrimSuffix(bytes.TrimSuffix(content, []byte("\n")), []byte("\r"))
	}
	if len(content) == 0 {
		return nil, errors.New("it is empty")
	}
	switch {
	case f.base64:
		return base64.StdEncoding.EncodeToString(content), nil
	case f.json:
		return scalar(content)
	default:
		return string(content), nil
	}
}

// scalar reads a JSON value that is no structure. The error does not repeat it.
func scalar(content []byte) (any, error) {
	var value any
	if err := json.Unmarshal(content, &value); err != nil {
		return nil, errors.New("it is no JSON")
	}
	switch value := value.(type) {
	case float64:
		if whole := int(value); float64(whole) == value {
			return whole, nil
		}
		return value, nil
	case string, bool:
		return value, nil
	default:
		return nil, errors.New("only a string, a number, true or false can be set")
	}
}

// checkData refuses plain text where a Secret has base64: the API server would refuse the object.
func checkData(kind string, path document.Path, value any) error {
	text, isText := value.(string)
	if kind != "Secret" || len(path) != 2 || path[0] != "data" || !isText {
		return nil
	}
	if _, err := base64.StdEncoding.DecodeString(text); err != nil {
		return hinted(fmt.Errorf("setting %s: data of a Secret is base64, and the value is not", path), "add --base64, or set it below stringData")
	}
	return nil
}
