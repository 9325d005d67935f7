package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// output is the format that -o chooses.
type output string

const (
	outputTable output = ""
	outputWide  output = "wide"
	outputName  output = "name"
	outputJSON  output = "json"
	outputYAML  output = "yaml"
)

// register adds the flag -o with the formats that a command knows, besides the default.
func (o *output) register(command *cobra.Command, formats ...output) {
	words := make([]string, len(formats))
	for i, format := range formats {
		words[i] = string(format)
	}
	value := &outputValue{output: o, formats: words}
	command.Flags().VarP(value, "output", "o", "output format: "+strings.Join(words, "|"))
	complete(command, "output", fixed(words...))
}

// outputValue is the flag's value; it refuses formats that the command does not know.
type outputValue struct {
	output  *output
	formats []string
}

// String implements pflag.Value.
func (v *outputValue) String() string { return string(*v.output) }

// Type implements pflag.Value.
func (v *outputValue) Type() string { return "format" }

// Set implements pflag.Value.
func (v *outputValue) Set(text string) error {
	if !slices.Contains(v.formats, text) {
		return fmt.Errorf("the formats are %s", strings.Join(v.formats, ", "))
	}
	*v.output = output(text)
	return nil
}

// structured tells whether the format is for machines and shows all of an object.
func (o output) structured() bool { return o == outputJSON || o == outputYAML }

// encode writes a value as JSON or YAML. YAML documents begin with a separator from the second on.
func (o output) encode(out io.Writer, value any, first bool) error {
	if o == outputYAML {
		text, err := yaml.Marshal(value)
		if err != nil {
			return fmt.Errorf("writing YAML: %w", err)
		}
		if !first {
			text = append([]byte("---\n"), text...)
		}
		_, err = out.Write(text)
		return err
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// listOf makes the list that kubectl would print.
func listOf(items []any) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "List", "metadata": map[string]any{"resourceVersion": ""}, "items": items}
}
