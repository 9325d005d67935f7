package schema

import (
	"strings"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"holdfast.dev/holdfast/internal/model/object"
)

// names judges what an object is called, by the rules of its kind.
func (v *verdict) names(ref object.Ref) {
	for _, problem := range nameProblems(ref) {
		v.say(RuleMetadata, "metadata.name", plain(problem), "")
	}
	if ref.Namespace == "" {
		return
	}
	for _, problem := range apivalidation.ValidateNamespaceName(ref.Namespace, false) {
		v.say(RuleMetadata, "metadata.namespace", problem, "")
	}
}

func nameProblems(ref object.Ref) []string {
	switch ref.Group + "/" + ref.Kind {
	case "/Namespace":
		return apivalidation.ValidateNamespaceName(ref.Name, false)
	case "/Service":
		return validation.IsDNS1123Label(ref.Name)
	case "rbac.authorization.k8s.io/Role", "rbac.authorization.k8s.io/ClusterRole",
		"rbac.authorization.k8s.io/RoleBinding", "rbac.authorization.k8s.io/ClusterRoleBinding":
		return path.IsValidPathSegmentName(ref.Name)
	case "certificates.k8s.io/CertificateSigningRequest", "events.k8s.io/Event", "/Event":
		return nil
	default:
		return apivalidation.NameIsDNSSubdomain(ref.Name, false)
	}
}

// labels judges labels and annotations wherever Kubernetes' own metadata stands.
func (v *verdict) labels(metadata map[string]any) {
	if labels, ok := texts(metadata["labels"]); ok {
		for name, value := range labels {
			v.tell("labels", name, metav1validation.ValidateLabels(map[string]string{name: value}, field.NewPath("labels")))
		}
	}
	if annotations, ok := texts(metadata["annotations"]); ok {
		for name := range annotations {
			v.tell("annotations", name, apivalidation.ValidateAnnotations(map[string]string{name: ""}, field.NewPath("annotations")))
		}
		if apivalidation.ValidateAnnotationsSize(annotations) != nil {
			v.say(RuleMetadata, "annotations", "is too large: all annotations together may have 256 KiB", "")
		}
	}
}

// tell writes the details of problems: their texts as a whole would tell values.
func (v *verdict) tell(below, name string, problems field.ErrorList) {
	for _, problem := range problems {
		v.say(RuleMetadata, join(below, name), plain(problem.Detail), "")
	}
}

// plain leaves out the examples and expressions that make a sentence long.
func plain(text string) string {
	text, _, _ = strings.Cut(text, " (e.g.")
	return text
}

// texts returns a map of strings; ok is false where it is something else, which its type tells already.
func texts(value any) (map[string]string, bool) {
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, false
	}
	found := make(map[string]string, len(fields))
	for name, value := range fields {
		text, isText := value.(string)
		if !isText {
			return nil, false
		}
		found[name] = text
	}
	return found, true
}
