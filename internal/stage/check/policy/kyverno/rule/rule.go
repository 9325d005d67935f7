package rule

import (
	"encoding/json"
	"fmt"
	"strings"

	admission "k8s.io/api/admissionregistration/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/condition"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/match"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/podsecurity"
)

// Policy is a ClusterPolicy, or a Policy, which has a namespace.
type Policy struct {
	Kind        string
	Namespace   string
	Name        string
	Annotations map[string]string
	Spec        Spec
}

// Spec is what a policy says, with its rules as they are written.
type Spec struct {
	Rules                   []json.RawMessage `json:"rules"`
	ValidationFailureAction string            `json:"validationFailureAction"`
	Overrides               []Override        `json:"validationFailureActionOverrides"`
	ApplyRules              string            `json:"applyRules"`
	Background              *bool             `json:"background"`
	FailurePolicy           string            `json:"failurePolicy"`
	Webhook                 *struct {
		MatchConditions []admission.MatchCondition `json:"matchConditions"`
	} `json:"webhookConfiguration"`
	EmitWarning bool `json:"emitWarning"`
}

// Override is an action for some namespaces.
type Override struct {
	Action            string              `json:"action"`
	Namespaces        []string            `json:"namespaces"`
	NamespaceSelector *meta.LabelSelector `json:"namespaceSelector"`
}

// Rule is one rule of a policy.
type Rule struct {
	Name             string                     `json:"name"`
	Match            match.Block                `json:"match"`
	Exclude          *match.Block               `json:"exclude"`
	Context          []Entry                    `json:"context"`
	Preconditions    condition.Conditions       `json:"preconditions"`
	CELPreconditions []admission.MatchCondition `json:"celPreconditions"`
	Validate         *Validate                  `json:"validate"`
	Mutate           *Mutate                    `json:"mutate"`
	Generate         json.RawMessage            `json:"generate"`
	VerifyImages     json.RawMessage            `json:"verifyImages"`
	ImageExtractors  json.RawMessage            `json:"imageExtractors"`
}

// Entry is an entry of a rule's context. One of its fields is set.
type Entry struct {
	Name            string          `json:"name"`
	Variable        *Variable       `json:"variable"`
	ConfigMap       *ConfigMap      `json:"configMap"`
	APICall         *APICall        `json:"apiCall"`
	ImageRegistry   json.RawMessage `json:"imageRegistry"`
	GlobalReference json.RawMessage `json:"globalReference"`
}

// Variable is a value that is written down or asked for.
type Variable struct {
	Value    any    `json:"value"`
	JMESPath string `json:"jmesPath"`
	Default  any    `json:"default"`
}

// ConfigMap names a ConfigMap.
type ConfigMap struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// APICall is a question to a cluster's API, or to some other service.
type APICall struct {
	URLPath  string          `json:"urlPath"`
	Method   string          `json:"method"`
	Data     json.RawMessage `json:"data"`
	Service  json.RawMessage `json:"service"`
	JMESPath string          `json:"jmesPath"`
	Default  any             `json:"default"`
}

// Check is what an object or an element of it has to be like.
type Check struct {
	Pattern    any   `json:"pattern"`
	AnyPattern []any `json:"anyPattern"`
	Deny       *Deny `json:"deny"`
}

// Deny keeps out what conditions hold for.
type Deny struct {
	Conditions condition.Conditions `json:"conditions"`
}

// Validate is a rule that judges.
type Validate struct {
	Check
	Message       string                `json:"message"`
	Foreach       []Foreach             `json:"foreach"`
	PodSecurity   *podsecurity.Standard `json:"podSecurity"`
	CEL           *CEL                  `json:"cel"`
	Manifests     json.RawMessage       `json:"manifests"`
	Assert        json.RawMessage       `json:"assert"`
	FailureAction string                `json:"failureAction"`
	Overrides     []Override            `json:"failureActionOverrides"`
	AllowExisting *bool                 `json:"allowExistingViolations"`
}

// CEL is a judgement in the language of ValidatingAdmissionPolicy.
type CEL struct {
	Expressions      []admission.Validation      `json:"expressions"`
	Variables        []admission.Variable        `json:"variables"`
	AuditAnnotations []admission.AuditAnnotation `json:"auditAnnotations"`
	ParamKind        *admission.ParamKind        `json:"paramKind"`
	ParamRef         *admission.ParamRef         `json:"paramRef"`
}

// Foreach judges each element of a list.
type Foreach struct {
	Check
	List          string               `json:"list"`
	ElementScope  *bool                `json:"elementScope"`
	Context       []Entry              `json:"context"`
	Preconditions condition.Conditions `json:"preconditions"`
	Foreach       []Foreach            `json:"foreach"`
}

// Patch is a change.
type Patch struct {
	StrategicMerge any    `json:"patchStrategicMerge"`
	JSON6902       string `json:"patchesJson6902"`
}

// Mutate is a rule that changes.
type Mutate struct {
	Patch
	Targets json.RawMessage `json:"targets"`
	Foreach []ForeachPatch  `json:"foreach"`
}

// ForeachPatch changes an object once for each element of a list.
type ForeachPatch struct {
	Patch
	List          string               `json:"list"`
	Order         string               `json:"order"`
	Context       []Entry              `json:"context"`
	Preconditions condition.Conditions `json:"preconditions"`
	Foreach       []ForeachPatch       `json:"foreach"`
}

// Exception keeps objects from being judged by some rules.
type Exception struct {
	Namespace   string
	Name        string
	Annotations map[string]string
	Spec        struct {
		Exceptions []struct {
			PolicyName string   `json:"policyName"`
			RuleNames  []string `json:"ruleNames"`
		} `json:"exceptions"`
		Match       match.Block             `json:"match"`
		Conditions  *condition.Group        `json:"conditions"`
		PodSecurity []podsecurity.Exclusion `json:"podSecurity"`
		Background  *bool                   `json:"background"`
	}
}

type header struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Namespace   string            `json:"namespace"`
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec json.RawMessage `json:"spec"`
}

// Decode reads a ClusterPolicy or a Policy.
func Decode(raw []byte) (Policy, error) {
	var h header
	if err := json.Unmarshal(raw, &h); err != nil {
		return Policy{}, fmt.Errorf("decoding a policy: %w", err)
	}
	p := Policy{Kind: h.Kind, Namespace: h.Metadata.Namespace, Name: h.Metadata.Name, Annotations: h.Metadata.Annotations}
	if p.Kind == "Policy" && p.Namespace == "" {
		p.Namespace = "default"
	}
	if err := json.Unmarshal(h.Spec, &p.Spec); err != nil {
		return Policy{}, fmt.Errorf("decoding %s %s: %w", h.Kind, h.Metadata.Name, err)
	}
	for i, one := range p.Spec.Rules {
		if _, err := decodeRule(one); err != nil {
			return Policy{}, fmt.Errorf("decoding %s %s: rule %d: %w", h.Kind, h.Metadata.Name, i+1, err)
		}
	}
	return p, nil
}

// DecodeException reads a PolicyException.
func DecodeException(raw []byte) (Exception, error) {
	var h header
	if err := json.Unmarshal(raw, &h); err != nil {
		return Exception{}, fmt.Errorf("decoding a PolicyException: %w", err)
	}
	e := Exception{Namespace: h.Metadata.Namespace, Name: h.Metadata.Name, Annotations: h.Metadata.Annotations}
	if err := json.Unmarshal(h.Spec, &e.Spec); err != nil {
		return Exception{}, fmt.Errorf("decoding PolicyException %s/%s: %w", e.Namespace, e.Name, err)
	}
	return e, nil
}

func decodeRule(raw []byte) (Rule, error) {
	var r Rule
	err := json.Unmarshal(raw, &r)
	return r, err
}

// Key is the policy's name as exceptions and results write it.
func (p Policy) Key() string {
	if p.Namespace != "" {
		return p.Namespace + "/" + p.Name
	}
	return p.Name
}

// Enforces tells whether an action keeps objects out.
func Enforces(action string) bool { return strings.EqualFold(action, "enforce") }
