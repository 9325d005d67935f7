package admission

import (
	registration "k8s.io/api/admissionregistration/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/admission/plugin/policy/matching"

	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// criteria is what a policy matches by.
type criteria struct{ match *registration.MatchResources }

// GetParsedNamespaceSelector implements the matcher's interface.
func (c criteria) GetParsedNamespaceSelector() (labels.Selector, error) {
	return meta.LabelSelectorAsSelector(c.match.NamespaceSelector)
}

// GetParsedObjectSelector implements the matcher's interface.
func (c criteria) GetParsedObjectSelector() (labels.Selector, error) {
	return meta.LabelSelectorAsSelector(c.match.ObjectSelector)
}

// GetMatchResources implements the matcher's interface.
func (c criteria) GetMatchResources() registration.MatchResources { return *c.match }

// Concerns tells whether a request is among those that a policy matches. An error says that it depends on
// the labels of a namespace that are not known.
func Concerns(match *registration.MatchResources, request ruling.Request) (bool, error) {
	if match == nil {
		return false, nil
	}
	match = defaulted(match.DeepCopy())
	lister := namespaces{request: request, selects: len(match.NamespaceSelector.MatchLabels)+len(match.NamespaceSelector.MatchExpressions) > 0}
	found, _, _, err := matching.NewMatcher(lister, nil).Matches(record(request), interfaces(), criteria{match})
	return found, err
}
