package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/cli/preview"
	"holdfast.dev/holdfast/internal/model/object"
)

// readManifests reads the objects of a YAML or JSON file, or of in for "-".
func readManifests(in io.Reader, name string) ([]*unstructured.Unstructured, error) {
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	return preview.ReadManifests(in)
}

// printUnits writes the objects of all units: documents of YAML, one JSON list, or names.
func printUnits(out io.Writer, units []preview.Unit, format output) error {
	items := []any{}
	first := true
	for _, unit := range units {
		for _, o := range unit.Objects {
			if format == outputName {
				fmt.Fprintln(out, kubectlName(o.Ref))
				continue
			}
			shown, err := o.Decode()
			if err != nil {
				return err
			}
			// The normal form has a null here, which says nothing to anybody.
			unstructured.RemoveNestedField(shown.Object, "metadata", "creationTimestamp")
			if format == outputJSON {
				items = append(items, shown.Object)
				continue
			}
			if err := format.encode(out, shown.Object, first); err != nil {
				return err
			}
			first = false
		}
	}
	if format == outputJSON {
		return outputJSON.encode(out, listOf(items), true)
	}
	return nil
}

// kubectlName names an object as kubectl does: "deployment.apps/web".
func kubectlName(ref object.Ref) string {
	kind := strings.ToLower(ref.Kind)
	if ref.Group != "" {
		kind += "." + ref.Group
	}
	return kind + "/" + ref.Name
}
