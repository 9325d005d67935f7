package chart

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	helmcommon "helm.sh/helm/v4/pkg/chart/common"
	helmchart "helm.sh/helm/v4/pkg/chart/v2"
)

const schemaName = "file:///values.schema.json"

// closed loads nothing: a schema that refers to other documents would read our disk, or any address in our
// network.
type closed struct{}

func (closed) Load(url string) (any, error) {
	return nil, fmt.Errorf("the schema refers to %s: a schema may only refer to itself", url)
}

// meetsSchema checks the values of a chart and of its subcharts against the schemas that they bring along.
// Helm's own check would fetch what a schema refers to.
func meetsSchema(chart *helmchart.Chart, input helmcommon.Values) error {
	values, err := input.Table("Values")
	if err != nil {
		return fmt.Errorf("reading values: %w", err)
	}
	var found []string
	collectSchemaErrors(chart, values, &found)
	if len(found) == 0 {
		return nil
	}
	return errors.New("values don't meet the specifications of the schema(s) in the following chart(s): " + strings.Join(found, "; "))
}

func collectSchemaErrors(chart *helmchart.Chart, values map[string]any, found *[]string) {
	if len(chart.Schema) > 0 {
		if err := meetsOne(chart.Schema, values); err != nil {
			*found = append(*found, chart.Name()+": "+oneLine(err))
		}
	}
	for _, below := range chart.Dependencies() {
		switch held := values[below.Name()].(type) {
		case map[string]any:
			collectSchemaErrors(below, held, found)
		case helmcommon.Values:
			collectSchemaErrors(below, held, found)
		case nil:
		default:
			*found = append(*found, fmt.Sprintf("%s: invalid type for values: expected object (map), got %T", below.Name(), held))
		}
	}
}

func meetsOne(schema []byte, values map[string]any) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("unable to validate schema: %v", cause)
		}
	}()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return fmt.Errorf("reading values.schema.json: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(closed{})
	if err := compiler.AddResource(schemaName, document); err != nil {
		return fmt.Errorf("reading values.schema.json: %w", err)
	}
	validator, err := compiler.Compile(schemaName)
	if err != nil {
		return fmt.Errorf("reading values.schema.json: %w", err)
	}
	return validator.Validate(values)
}

func oneLine(err error) string {
	text := strings.TrimPrefix(err.Error(), "jsonschema validation failed with '"+schemaName+"#'\n")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimSpace(line), "- ")
	}
	return strings.Join(lines, ", ")
}
