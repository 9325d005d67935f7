package ruling

import (
	"maps"
	"strings"
)

// Status is what a rule came to for one object.
type Status string

// The statuses, in the words of PolicyReport.
const (
	Pass  Status = "pass"
	Fail  Status = "fail"
	Warn  Status = "warn"
	Error Status = "error" // the rule could not be evaluated; never taken for a pass
	Skip  Status = "skip"
)

// Action is what follows from a rule that fails.
type Action string

// The actions.
const (
	Enforce Action = "enforce"
	Audit   Action = "audit"
	Alert   Action = "warn"
)

// Exception is a waiver that kept a rule from being applied.
type Exception struct {
	Name    string // namespace/name
	Owner   string
	Expires string // RFC 3339, or empty
}

// Result is what one rule of one policy came to for one object.
type Result struct {
	Kind       string // kind of the policy
	Policy     string // namespace/name, or name
	Rule       string
	Status     Status
	Action     Action
	Message    string
	Severity   string
	Category   string
	Exceptions []Exception
}

// Blocks tells whether the result keeps the object out.
func (r Result) Blocks() bool {
	return r.Action == Enforce && (r.Status == Fail || r.Status == Error)
}

// User is who makes a request.
type User struct {
	Name         string
	Groups       []string
	Roles        []string // namespace:name
	ClusterRoles []string
}

// Request is an object as somebody asks for it. Nobody who is given one changes it.
type Request struct {
	Operation string         // CREATE, UPDATE or DELETE
	Object    map[string]any // nil for DELETE
	Old       map[string]any // nil for CREATE
	// Resource is the plural name of the object's kind, and Subresource what of it is asked for.
	Resource    string
	Subresource string
	DryRun      bool
	// User is nil where nobody in particular asks: rules are then evaluated for everybody.
	User *User
	// NamespaceLabels are those of the object's namespace. Where NamespaceUnknown is set they could
	// not be found out, and a rule that selects by them cannot be evaluated.
	NamespaceLabels  map[string]string
	NamespaceUnknown bool
	// Namespace is the namespace itself, for expressions that look at it; it may be nil.
	Namespace map[string]any
}

// Subject returns the object that is asked about: the old one where it is deleted.
func (r Request) Subject() map[string]any {
	if r.Object != nil {
		return r.Object
	}
	return r.Old
}

// With returns the request for another object in the place of its own.
func (r Request) With(object map[string]any) Request {
	r.Object = object
	return r
}

// Text returns a text field of an object, such as Text(object, "metadata", "name").
func Text(object map[string]any, path ...string) string {
	for _, step := range path[:len(path)-1] {
		object, _ = object[step].(map[string]any)
	}
	text, _ := object[path[len(path)-1]].(string)
	return text
}

// Texts returns a field that maps texts to texts, such as Texts(object, "metadata", "labels").
func Texts(object map[string]any, path ...string) map[string]string {
	for _, step := range path {
		object, _ = object[step].(map[string]any)
	}
	texts := make(map[string]string, len(object))
	for key, value := range object {
		if text, ok := value.(string); ok {
			texts[key] = text
		}
	}
	return texts
}

// Name returns the name of an object, or what the server makes one of.
func Name(object map[string]any) string {
	if name := Text(object, "metadata", "name"); name != "" {
		return name
	}
	return Text(object, "metadata", "generateName")
}

// Group splits an object's apiVersion.
func Group(object map[string]any) (group, version string) {
	group, version, found := strings.Cut(Text(object, "apiVersion"), "/")
	if !found {
		return "", group
	}
	return group, version
}

// Copy returns a deep copy of a JSON value.
func Copy(value any) any {
	switch typed := value.(type) {
	case map[string]any:
		fresh := maps.Clone(typed)
		for key, field := range fresh {
			fresh[key] = Copy(field)
		}
		return fresh
	case []any:
		fresh := make([]any, len(typed))
		for i, field := range typed {
			fresh[i] = Copy(field)
		}
		return fresh
	default:
		return value
	}
}
