package operator_test

import (
	"strings"
	"testing"
)

// TestPolicyOfTheCommit: a policy takes effect for the commit that brings it, and for those after it.
func TestPolicyOfTheCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	policy := strings.ReplaceAll(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAMESPACE}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]
  validations: [{expression: "!has(object.data) || !('color' in object.data) || object.data.color != 'black'", message: nothing is black}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAMESPACE}
spec: {policyName: NAMESPACE, validationActions: [Deny]}
`, "NAMESPACE", w.namespace)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("a", "color: blue")})
	w.commit(map[string]string{"apps/a.yaml": configMap("a", "color: black"), "apps/policy.yaml": policy})
	refused := "ValidatingAdmissionPolicy '" + w.namespace + "' with binding '" + w.namespace + "' denied request: nothing is black"
	w.failed("apps", "ReconciliationFailed", refused)
	await(w, w.configMap("a"), "untouched", holds("color", "blue"))
	await(w, w.object("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", w.namespace), "not written", gone)
	w.ready("apps", w.commit(map[string]string{"apps/a.yaml": configMap("a", "color: red")}))
	// It lives in the cluster now, and judges a unit that knows nothing of it.
	w.commit(map[string]string{"apps/a.yaml": configMap("a", "color: red"), "other/b.yaml": configMap("b", "color: black")})
	w.unit("other")
	w.failed("other", "ReconciliationFailed", "[policy/"+w.namespace+"/"+w.namespace+"]")
}
