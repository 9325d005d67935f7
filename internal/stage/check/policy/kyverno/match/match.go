package match

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/kyverno/kyverno/ext/wildcard"
	"github.com/kyverno/kyverno/pkg/engine/wildcards"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// ErrNamespaceUnknown says that a selector for namespaces could not be decided. The rule is then taken for
// one that failed to evaluate: what is not known is not let through.
var ErrNamespaceUnknown = errors.New("the labels of the object's namespace are not known, and the rule selects by them")

// Description is what an object has to be like.
type Description struct {
	Kinds             []string            `json:"kinds"`
	Name              string              `json:"name"`
	Names             []string            `json:"names"`
	Namespaces        []string            `json:"namespaces"`
	Annotations       map[string]string   `json:"annotations"`
	Selector          *meta.LabelSelector `json:"selector"`
	NamespaceSelector *meta.LabelSelector `json:"namespaceSelector"`
	Operations        []string            `json:"operations"`
}

// Filter is a description of the object and of who asks.
type Filter struct {
	Roles        []string       `json:"roles"`
	ClusterRoles []string       `json:"clusterRoles"`
	Subjects     []rbac.Subject `json:"subjects"`
	Resources    Description    `json:"resources"`
}

// Block is a match or an exclude block.
type Block struct {
	Filter
	Any []Filter `json:"any"`
	All []Filter `json:"all"`
}

// Kinds returns all kinds that a block names.
func (b Block) Kinds() []string {
	kinds := slices.Clone(b.Resources.Kinds)
	for _, filter := range append(slices.Clone(b.Any), b.All...) {
		kinds = append(kinds, filter.Resources.Kinds...)
	}
	return kinds
}

// Rule tells whether a rule with these blocks is about a request.
func Rule(match Block, exclude *Block, request ruling.Request) (bool, error) {
	if request.Subject() == nil {
		return false, nil
	}
	about, err := match.holds(request, Filter.included)
	if err != nil || !about || exclude == nil {
		return about, err
	}
	out, err := exclude.holds(request, Filter.holds)
	return !out, err
}

// Exception tells whether an exception with this block is about a request. It needs any or all.
func Exception(block Block, request ruling.Request) (bool, error) {
	if len(block.Any) == 0 && len(block.All) == 0 {
		return false, nil
	}
	return block.holds(request, Filter.holds)
}

func (b Block) holds(request ruling.Request, holds func(Filter, ruling.Request) (bool, error)) (bool, error) {
	switch {
	case len(b.Any) > 0:
		var unknown error
		for _, filter := range b.Any {
			yes, err := holds(filter, request)
			if yes {
				return true, nil
			}
			unknown = errors.Join(unknown, err)
		}
		return false, unknown
	case len(b.All) > 0:
		var unknown error
		for _, filter := range b.All {
			yes, err := holds(filter, request)
			if err == nil && !yes {
				return false, nil
			}
			unknown = errors.Join(unknown, err)
		}
		return unknown == nil, unknown
	default:
		return holds(b.Filter, request)
	}
}

// included is holds for a match block, in which who asks does not matter where nobody in particular does.
func (f Filter) included(request ruling.Request) (bool, error) {
	if request.User == nil {
		f.Roles, f.ClusterRoles, f.Subjects = nil, nil, nil
	}
	return f.holds(request)
}

// holds tells whether everything that the filter names is so. An empty filter holds for nothing.
func (f Filter) holds(request ruling.Request) (bool, error) {
	if f.empty() || !f.user(request.User) {
		return false, nil
	}
	return f.Resources.holds(request)
}

func (f Filter) empty() bool {
	d := f.Resources
	return len(f.Roles)+len(f.ClusterRoles)+len(f.Subjects)+len(d.Kinds)+len(d.Names)+len(d.Namespaces)+
		len(d.Annotations)+len(d.Operations) == 0 && d.Name == "" && d.Selector == nil && d.NamespaceSelector == nil
}

func (f Filter) user(user *ruling.User) bool {
	if len(f.Roles)+len(f.ClusterRoles)+len(f.Subjects) == 0 {
		return true
	}
	if user == nil {
		return false
	}
	shares := func(wanted, has []string) bool {
		return len(wanted) == 0 || slices.ContainsFunc(wanted, func(one string) bool { return slices.Contains(has, one) })
	}
	subject := func(subject rbac.Subject) bool {
		switch subject.Kind {
		case rbac.ServiceAccountKind:
			return wildcard.Match("system:serviceaccount:"+subject.Namespace+":"+subject.Name, user.Name)
		case rbac.GroupKind:
			return slices.ContainsFunc(user.Groups, func(group string) bool { return wildcard.Match(subject.Name, group) })
		case rbac.UserKind:
			return wildcard.Match(subject.Name, user.Name)
		default:
			return false
		}
	}
	return shares(f.Roles, user.Roles) && shares(f.ClusterRoles, user.ClusterRoles) &&
		(len(f.Subjects) == 0 || slices.ContainsFunc(f.Subjects, subject))
}

func (d Description) holds(request ruling.Request) (bool, error) {
	object := request.Subject()
	name, kind := ruling.Name(object), ruling.Text(object, "kind")
	matches := func(pattern string) bool { return wildcard.Match(pattern, name) }
	switch {
	case len(d.Operations) > 0 && !slices.Contains(d.Operations, request.Operation),
		len(d.Kinds) > 0 && !Kind(d.Kinds, object, request.Subresource),
		d.Name != "" && !matches(d.Name),
		len(d.Names) > 0 && !slices.ContainsFunc(d.Names, matches),
		len(d.Namespaces) > 0 && !slices.ContainsFunc(d.Namespaces, inNamespace(object)),
		!annotated(d.Annotations, ruling.Texts(object, "metadata", "annotations")):
		return false, nil
	}
	if d.Selector != nil {
		if yes, err := selects(d.Selector, ruling.Texts(object, "metadata", "labels")); err != nil || !yes {
			return false, err
		}
	}
	if d.NamespaceSelector == nil {
		return true, nil
	}
	if kind == "Namespace" {
		return false, nil
	}
	if request.NamespaceUnknown && ruling.Text(object, "metadata", "namespace") != "" {
		return false, ErrNamespaceUnknown
	}
	return selects(d.NamespaceSelector, request.NamespaceLabels)
}

func inNamespace(object map[string]any) func(string) bool {
	namespace := ruling.Text(object, "metadata", "namespace")
	if ruling.Text(object, "kind") == "Namespace" {
		namespace = ruling.Name(object)
	}
	return func(pattern string) bool { return wildcard.Match(pattern, namespace) }
}

func annotated(wanted, has map[string]string) bool {
	for key, value := range wanted {
		found := false
		for k, v := range has {
			found = found || wildcard.Match(key, k) && wildcard.Match(value, v)
		}
		if !found {
			return false
		}
	}
	return true
}

func selects(selector *meta.LabelSelector, has map[string]string) (bool, error) {
	parsed, err := meta.LabelSelectorAsSelector(wildcards.ReplaceInSelector(selector, has))
	if err != nil {
		return false, err
	}
	return parsed.Matches(labels.Set(has)), nil
}

var version = regexp.MustCompile(`^(v\d((alpha|beta)\d)?|\*)$`)

// Kind tells whether an object is of one of the kinds, each of which is a kind, a version and a kind, or
// a group, a version and a kind, with an optional subresource.
func Kind(kinds []string, object map[string]any, subresource string) bool {
	group, apiVersion := ruling.Group(object)
	kind := ruling.Text(object, "kind")
	for _, one := range kinds {
		g, v, k, sub := Split(one)
		if !wildcard.Match(g, group) || !wildcard.Match(v, apiVersion) || !wildcard.Match(k, kind) {
			continue
		}
		if wildcard.Match(sub, subresource) || kind == "Pod" && subresource == "ephemeralcontainers" {
			return true
		}
	}
	return false
}

// Split reads a kind as policies write it.
func Split(kind string) (group, apiVersion, name, subresource string) {
	parts := strings.Split(kind, "/")
	parts = append(parts[:len(parts)-1], strings.Split(parts[len(parts)-1], ".")...)
	switch len(parts) {
	case 1:
		return "*", "*", parts[0], ""
	case 2:
		switch {
		case parts[0] == "*" && parts[1] == "*":
			return "*", "*", "*", "*"
		case parts[0] == "*" && strings.ToLower(parts[1]) == parts[1]:
			return "*", "*", parts[0], parts[1]
		case version.MatchString(parts[0]):
			return "*", parts[0], parts[1], ""
		}
		return "*", "*", parts[0], parts[1]
	case 3:
		if version.MatchString(parts[0]) {
			return "*", parts[0], parts[1], parts[2]
		}
		return parts[0], parts[1], parts[2], ""
	case 4:
		return parts[0], parts[1], parts[2], parts[3]
	default:
		return "", "", "", ""
	}
}
