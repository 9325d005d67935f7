package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// Ignore names fields that others may set on live objects: they are applied when the object is
// created, and afterwards neither count as drift nor are set back (spec.ignore of a Kustomization).
type Ignore struct {
	paths  [][]string // JSON pointers (RFC 6901), split into tokens
	target target
	text   string
}

// String writes the rule so that equal texts mean equal rules.
func (i Ignore) String() string { return i.text }

// Target selects the objects that an Ignore is for. Empty fields match everything; the others are
// regular expressions that must match the whole value, and label selectors.
type Target struct {
	Group, Version, Kind, Namespace, Name string
	LabelSelector, AnnotationSelector     string
}

type target struct {
	group, version, kind, namespace, name *regexp.Regexp
	labels, annotations                   labels.Selector
}

// NewIgnore compiles a rule. The error names the part that is malformed.
func NewIgnore(pointers []string, wish Target) (Ignore, error) {
	rule := Ignore{text: fmt.Sprintf("%q in %+v", pointers, wish)}
	for _, pointer := range pointers {
		if !strings.HasPrefix(pointer, "/") {
			return Ignore{}, fmt.Errorf("compiling ignore rule: path %q is not a JSON pointer, it must begin with a slash", pointer)
		}
		tokens := strings.Split(pointer[1:], "/")
		for i, token := range tokens {
			tokens[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		}
		rule.paths = append(rule.paths, tokens)
	}
	for _, part := range []struct {
		into *(*regexp.Regexp)
		text string
	}{
		{&rule.target.group, wish.Group}, {&rule.target.version, wish.Version}, {&rule.target.kind, wish.Kind},
		{&rule.target.namespace, wish.Namespace}, {&rule.target.name, wish.Name},
	} {
		compiled, err := regexp.Compile("^(?:" + part.text + ")$")
		if err != nil {
			return Ignore{}, fmt.Errorf("compiling ignore rule: %q is not a regular expression", part.text)
		}
		if part.text != "" {
			*part.into = compiled
		}
	}
	var err error
	if rule.target.labels, err = labels.Parse(wish.LabelSelector); err != nil {
		return Ignore{}, fmt.Errorf("compiling ignore rule: label selector: %w", err)
	}
	if rule.target.annotations, err = labels.Parse(wish.AnnotationSelector); err != nil {
		return Ignore{}, fmt.Errorf("compiling ignore rule: annotation selector: %w", err)
	}
	return rule, nil
}

// matches tells whether the rule is for an object.
func (t target) matches(u *unstructured.Unstructured) bool {
	gvk := u.GroupVersionKind()
	for _, part := range []struct {
		want *regexp.Regexp
		have string
	}{{t.group, gvk.Group}, {t.version, gvk.Version}, {t.kind, gvk.Kind}, {t.namespace, u.GetNamespace()}, {t.name, u.GetName()}} {
		if part.want != nil && !part.want.MatchString(part.have) {
			return false
		}
	}
	return t.labels.Matches(labels.Set(u.GetLabels())) && t.annotations.Matches(labels.Set(u.GetAnnotations()))
}

// yield rewrites the body of an object that exists so that ignored fields keep what others set: a
// field that is in our entry of managed fields takes the live value, any other is left out. The
// dry-run of an object whose ignored fields alone differ then comes out as unchanged.
func (r *run) yield(ctx context.Context, p *plan) error {
	if len(r.Ignore) == 0 {
		return nil
	}
	wanted, err := p.wanted.Decode()
	if err != nil {
		return err
	}
	var paths [][]string
	for _, rule := range r.Ignore {
		if rule.target.matches(wanted) {
			paths = append(paths, rule.paths...)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	live, err := r.Cluster.Get(ctx, p.wanted.Ref)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return r.refusal(p.wanted.Ref, "read failed", err)
	}
	own := ownFields(live, r.options.Manager)
	for _, path := range paths {
		if _, asked := lookUp(wanted.Object, path); !asked {
			continue
		}
		value, there := lookUp(live.Object, path)
		if !there || !owns(own, live.Object, path) {
			remove(wanted.Object, path)
			continue
		}
		replace(wanted.Object, path, value)
	}
	p.body, err = json.Marshal(wanted.Object)
	return err
}

// ownFields returns the field set of our entry, in the nested form of FieldsV1.
func ownFields(live *unstructured.Unstructured, manager string) map[string]any {
	for _, entry := range live.GetManagedFields() {
		if entry.Manager == manager && entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == "" && entry.FieldsV1 != nil {
			var fields map[string]any
			if json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) == nil {
				return fields
			}
		}
	}
	return nil
}

// owns tells whether a field set holds the value at path. Items of lists are found by their keys.
func owns(fields map[string]any, value any, path []string) bool {
	for _, token := range path {
		var next any
		switch at := value.(type) {
		case map[string]any:
			next = fields["f:"+token]
			value = at[token]
		case []any:
			position, err := strconv.Atoi(token)
			if err != nil || position < 0 || position >= len(at) {
				return false
			}
			value = at[position]
			next = ownItem(fields, value)
		default:
			return false
		}
		below, found := next.(map[string]any)
		if !found {
			return false
		}
		if len(below) == 0 {
			return true // an atomic value: whoever owns it owns everything in it
		}
		fields = below
	}
	return true
}

// ownItem finds the entry of a list item: by key ("k:{…}"), or by value ("v:…").
func ownItem(fields map[string]any, item any) any {
	for element, below := range fields {
		switch {
		case strings.HasPrefix(element, "k:"):
			var keys map[string]any
			parts, isMap := item.(map[string]any)
			if isMap && json.Unmarshal([]byte(element[2:]), &keys) == nil && contains(parts, keys) {
				return below
			}
		case strings.HasPrefix(element, "v:"):
			if raw, err := json.Marshal(item); err == nil && string(raw) == element[2:] {
				return below
			}
		}
	}
	return nil
}

func contains(item, keys map[string]any) bool {
	for key, want := range keys {
		if fmt.Sprint(item[key]) != fmt.Sprint(want) {
			return false
		}
	}
	return true
}
