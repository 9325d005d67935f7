package kyverno

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/kyverno/kyverno/ext/wildcard"

	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/condition"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/image"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/match"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/rule"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/variable"
	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// scope returns what every rule may look at: the request, its images, and who asks.
func (ev evaluation) scope() *variable.Scope {
	subject := ev.request.Subject()
	group, version := ruling.Group(subject)
	request := map[string]any{
		"operation": ev.request.Operation,
		"namespace": ruling.Text(subject, "metadata", "namespace"),
		"name":      ruling.Name(subject),
		"kind":      map[string]any{"group": group, "version": version, "kind": ruling.Text(subject, "kind")},
		"dryRun":    ev.request.DryRun,
	}
	if ev.request.Object != nil {
		request["object"] = ev.request.Object
	}
	if ev.request.Old != nil {
		request["oldObject"] = ev.request.Old
	}
	data := map[string]any{"request": request}
	if user := ev.request.User; user != nil {
		request["userInfo"] = map[string]any{"username": user.Name, "groups": anys(user.Groups)}
		request["roles"], request["clusterRoles"] = anys(user.Roles), anys(user.ClusterRoles)
		rest, _ := strings.CutPrefix(user.Name, "system:serviceaccount:")
		namespace, name, found := strings.Cut(rest, ":")
		if !found || rest == user.Name {
			namespace, name = "", ""
		}
		data["serviceAccountName"], data["serviceAccountNamespace"] = name, namespace
	}
	scope := variable.NewScope(ev.ctx, ev.engine.language, data)
	scope.Add("images", func(*variable.Scope) (any, error) { return image.Of(subject) })
	return scope
}

func anys(texts []string) []any {
	all := make([]any, len(texts))
	for i, text := range texts {
		all[i] = text
	}
	return all
}

// declare adds the entries of a context. ruleName is empty inside a loop.
func (ev evaluation) declare(scope *variable.Scope, entries []rule.Entry, ruleName string) {
	if ev.world.Values != nil && ruleName != "" {
		for name, value := range ev.world.Values(ev.policy.Name, ruleName) {
			scope.Set(value, strings.Split(name, ".")...)
		}
	}
	for _, entry := range entries {
		if entry.Variable == nil && ev.world.Values != nil && ev.world.Reader == nil {
			continue // the test has said what would be read
		}
		switch {
		case entry.Variable != nil:
			scope.Add(entry.Name, func(s *variable.Scope) (any, error) { return readVariable(s, entry) })
		case entry.ConfigMap != nil:
			scope.Add(entry.Name, func(s *variable.Scope) (any, error) { return ev.configMap(s, *entry.ConfigMap) })
		case entry.APICall != nil:
			scope.Add(entry.Name, func(s *variable.Scope) (any, error) { return ev.apiCall(s, *entry.APICall) })
		default:
			scope.Add(entry.Name, func(*variable.Scope) (any, error) {
				return nil, errors.New("images and global entries are not read: policies have no network")
			})
		}
	}
}

func readVariable(scope *variable.Scope, entry rule.Entry) (any, error) {
	v := entry.Variable
	query, err := scope.Text(v.JMESPath)
	if err != nil {
		return nil, err
	}
	otherwise, err := scope.Substitute(v.Default)
	if err != nil {
		return nil, err
	}
	var found any
	switch {
	case v.Value != nil && query != "":
		if found, err = scope.Substitute(v.Value); err != nil {
			return nil, err
		}
		found, err = scope.Search(query, found)
	case v.Value != nil:
		if found, err = scope.Substitute(v.Value); err != nil {
			return nil, err
		}
	case query != "":
		found, err = scope.Query(query)
	}
	if err != nil && otherwise == nil {
		return nil, err
	}
	if found == nil || err != nil {
		found = otherwise
	}
	if found == nil {
		return nil, fmt.Errorf("the variable %s has no value", entry.Name)
	}
	return found, nil
}

var errNoCluster = errors.New("there is no cluster to read from")

func (ev evaluation) configMap(scope *variable.Scope, entry rule.ConfigMap) (any, error) {
	name, err := scope.Text(entry.Name)
	if err != nil {
		return nil, err
	}
	namespace, err := scope.Text(entry.Namespace)
	if err != nil {
		return nil, err
	}
	if namespace == "" {
		namespace = "default"
		if ev.policy.Namespace != "" {
			namespace = ev.policy.Namespace
		}
	}
	if ev.policy.Namespace != "" && namespace != ev.policy.Namespace {
		return nil, fmt.Errorf("ConfigMap %s/%s: a Policy reads only its own namespace", namespace, name)
	}
	if ev.world.Reader == nil {
		return nil, fmt.Errorf("reading ConfigMap %s/%s: %w", namespace, name, errNoCluster)
	}
	found, err := ev.world.Reader.ConfigMap(ev.ctx, namespace, name)
	if err != nil {
		return nil, fmt.Errorf("reading ConfigMap %s/%s: %w", namespace, name, err)
	}
	return map[string]any{"data": found["data"], "metadata": found["metadata"]}, nil
}

func (ev evaluation) apiCall(scope *variable.Scope, call rule.APICall) (any, error) {
	switch {
	case call.Service != nil:
		return nil, errors.New("calls to services are refused: policies have no network")
	case call.Method != "" && call.Method != "GET" || call.Data != nil:
		return nil, errors.New("calls other than GET are refused: policies write nothing")
	}
	at, err := scope.Text(call.URLPath)
	if err != nil {
		return nil, err
	}
	at, query, _ := strings.Cut(at, "?")
	at = path.Clean("/" + at)
	if own := ev.policy.Namespace; own != "" && !within(at, own) {
		return nil, fmt.Errorf("%s: a Policy reads only its own namespace", at)
	}
	if strings.ContainsAny(at, "%\\") {
		return nil, fmt.Errorf("%s: a path of the API has no such characters", at)
	}
	if ev.world.Reader == nil {
		return nil, fmt.Errorf("asking for %s: %w", at, errNoCluster)
	}
	if query != "" {
		at += "?" + query
	}
	found, err := ev.world.Reader.Get(ev.ctx, at)
	if err != nil {
		if call.Default != nil {
			return scope.Substitute(call.Default)
		}
		return nil, fmt.Errorf("asking for %s: %w", at, err)
	}
	search, err := scope.Text(call.JMESPath)
	if err != nil || search == "" {
		return found, err
	}
	return scope.Search(search, found)
}

// within tells whether a path of the API is inside a namespace.
func within(at, namespace string) bool {
	steps := strings.Split(at, "/")
	i := slices.Index(steps, "namespaces")
	return i >= 0 && i+2 < len(steps) && steps[i+1] == namespace
}

// exceptions returns the exceptions from a rule that are about the request.
func (ev evaluation) exceptions(one *prepared) []rule.Exception {
	var found []rule.Exception
	for _, exception := range ev.world.Exceptions {
		named := false
		for _, reference := range exception.Spec.Exceptions {
			named = named || reference.PolicyName == ev.policy.Key() && slices.ContainsFunc(reference.RuleNames, func(name string) bool { return wildcard.Match(name, one.Name) })
		}
		if !named {
			continue
		}
		if about, err := match.Exception(exception.Spec.Match, ev.request); err == nil && about {
			found = append(found, exception)
		}
	}
	return found
}

// excepted tells whether an exception keeps a rule from being applied.
func (ev evaluation) excepted(one *prepared, scope *variable.Scope, result *ruling.Result) bool {
	for _, exception := range ev.exceptions(one) {
		if len(exception.Spec.PodSecurity) > 0 {
			continue // it allows parts only, which the rule itself decides about
		}
		if group := exception.Spec.Conditions; group != nil {
			if holds, _, err := (condition.Conditions{*group}).Hold(scope); err != nil || !holds {
				continue
			}
		}
		result.Status = ruling.Skip
		result.Exceptions = append(result.Exceptions, waiver(exception))
	}
	if len(result.Exceptions) == 0 {
		return false
	}
	names := make([]string, len(result.Exceptions))
	for i, exception := range result.Exceptions {
		names[i] = exception.Name
	}
	result.Message = "the rule is not applied because of an exception: " + strings.Join(names, ", ")
	return true
}
