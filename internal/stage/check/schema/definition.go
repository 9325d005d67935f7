package schema

import (
	"context"
	"encoding/json"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"

	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
)

// definitionProblems finds what the API server would not take of a CustomResourceDefinition: a schema that
// is not structural, rules that do not compile or cost too much. It is what the server itself runs, and
// costs as much as that, so that it is done only where there is no server to ask.
func definitionProblems(ctx context.Context, one object.Object) []finding.Finding {
	if one.Kind != "CustomResourceDefinition" || one.Group != "apiextensions.k8s.io" || one.Version != "v1" {
		return nil
	}
	var written apiextensionsv1.CustomResourceDefinition
	if json.Unmarshal(one.JSON, &written) != nil {
		return nil // its own schema has said why
	}
	apiextensionsv1.SetDefaults_CustomResourceDefinition(&written)
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&written.Spec)
	var internal apiextensions.CustomResourceDefinition
	if apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&written, &internal, nil) != nil {
		return nil
	}
	// Written definitions carry no status, which says what is stored.
	for _, version := range internal.Spec.Versions {
		if version.Storage {
			internal.Status.StoredVersions = []string{version.Name}
		}
	}
	var found []finding.Finding
	for _, problem := range validation.ValidateCustomResourceDefinition(ctx, &internal) {
		if len(found) == mostFindings {
			break
		}
		message := problem.Detail
		if message == "" {
			message = problem.Error()
		}
		found = append(found, finding.Finding{Rule: RuleDefinition, Severity: finding.Error, Ref: one.Ref, Path: strings.Replace(problem.Field, "spec.validation.", "spec.versions[0].schema.", 1), Message: message})
	}
	return found
}
