package rule

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/match"
)

// controllersKey says which pod controllers get rules of their own.
const controllersKey = "pod-policies.kyverno.io/autogen-controllers"

// controllers returns the kinds that run pods, and how policies name them in full.
func controllers() map[string]string {
	return map[string]string{
		"DaemonSet": "apps/v1/DaemonSet", "Deployment": "apps/v1/Deployment", "Job": "batch/v1/Job",
		"StatefulSet": "apps/v1/StatefulSet", "ReplicaSet": "apps/v1/ReplicaSet",
		"ReplicationController": "v1/ReplicationController", "CronJob": "batch/v1/CronJob",
	}
}

// For returns the rules for objects of a kind: those that are written, and for a pod controller those that
// the rules for pods stand for.
func (p Policy) For(kind string) ([]Rule, error) {
	var rules []Rule
	for _, raw := range p.Spec.Rules {
		one, err := decodeRule(raw)
		if err != nil {
			return nil, err
		}
		rules = append(rules, one)
	}
	name, isController := controllers()[kind]
	if !isController || !p.generates(rules, kind) {
		return rules, nil
	}
	var generated []Rule
	for i, raw := range p.Spec.Rules {
		if strings.HasPrefix(rules[i].Name, "autogen-") || !aboutPods(rules[i]) {
			continue
		}
		one, err := generate(raw, kind, name)
		if err != nil {
			return nil, err
		}
		if one != nil {
			generated = append(generated, *one)
		}
	}
	if len(generated) > 0 {
		rules = slices.DeleteFunc(rules, func(one Rule) bool { return strings.HasPrefix(one.Name, "autogen-") })
	}
	return append(rules, generated...), nil
}

// generates tells whether the policy gets rules for a kind of controller: not where a rule selects pods by
// what their controllers do not share with them, or changes them by position.
func (p Policy) generates(rules []Rule, kind string) bool {
	needed := false
	for _, one := range rules {
		if one.Generate != nil || one.Mutate != nil && (one.Mutate.JSON6902 != "" ||
			slices.ContainsFunc(one.Mutate.Foreach, func(f ForeachPatch) bool { return f.JSON6902 != "" })) {
			return false
		}
		blocks := []match.Block{one.Match}
		if one.Exclude != nil {
			blocks = append(blocks, *one.Exclude)
		}
		for _, block := range blocks {
			for _, filter := range append(append([]match.Filter{block.Filter}, block.Any...), block.All...) {
				d := filter.Resources
				if d.Name != "" || len(d.Names) > 0 || d.Selector != nil || d.Annotations != nil || len(d.Kinds) > 1 && containsPod(d.Kinds) {
					return false
				}
				needed = needed || slices.ContainsFunc(d.Kinds, podKind)
			}
		}
	}
	if !needed {
		return false
	}
	wanted, found := p.Annotations[controllersKey]
	if !found {
		return true
	}
	return slices.Contains(strings.Split(wanted, ","), kind) || wanted == "all"
}

func podKind(kind string) bool {
	_, isController := controllers()[kind]
	return kind == "Pod" || isController
}

func containsPod(kinds []string) bool {
	return slices.ContainsFunc(kinds, func(kind string) bool { _, _, name, _ := match.Split(kind); return name == "Pod" })
}

func aboutPods(one Rule) bool {
	if !containsPod(one.Match.Kinds()) {
		return false
	}
	return one.Exclude == nil || len(one.Exclude.Kinds()) == 0 || containsPod(one.Exclude.Kinds())
}

// generate makes the rule for a kind of controller of a rule for pods.
func generate(raw json.RawMessage, kind, fullName string) (*Rule, error) {
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	prefix, wraps := "autogen-", []string{"template"}
	if kind == "CronJob" {
		prefix, wraps = "autogen-cronjob-", []string{"template", "jobTemplate"}
	}
	name, _ := fields["name"].(string)
	fields["name"] = cut(prefix + name)
	rekind(fields["match"], fullName, kind == "CronJob", true)
	rekind(fields["exclude"], fullName, kind == "CronJob", false)
	for _, wrap := range wraps {
		if !rewrap(fields, wrap) {
			return nil, nil
		}
	}
	moved, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	validate, _ := fields["validate"].(map[string]any)
	moved = relocate(moved, kind == "CronJob", validate["cel"] != nil)
	one, err := decodeRule(moved)
	return &one, err
}

func cut(name string) string {
	if len(name) > 63 {
		return name[:63]
	}
	return name
}

// rekind puts the controller in the place of the pod in a match or exclude block.
func rekind(value any, fullName string, every, always bool) {
	block, _ := value.(map[string]any)
	if block == nil {
		return
	}
	for _, list := range []string{"any", "all"} {
		filters, _ := block[list].([]any)
		if len(filters) == 0 {
			continue
		}
		for _, item := range filters {
			filter, _ := item.(map[string]any)
			resources, _ := filter["resources"].(map[string]any)
			if resources != nil && (every || containsPod(texts(resources["kinds"]))) {
				resources["kinds"] = []any{fullName}
			}
		}
		return
	}
	resources, _ := block["resources"].(map[string]any)
	if resources != nil && (always || resources["kinds"] != nil) {
		resources["kinds"] = []any{fullName}
	}
}

func texts(value any) []string {
	items, _ := value.([]any)
	var all []string
	for _, item := range items {
		text, _ := item.(string)
		all = append(all, text)
	}
	return all
}

// rewrap moves what a rule says of a pod to where a controller has its pod. It returns false for a rule
// that says nothing that could be moved.
func rewrap(fields map[string]any, step string) bool {
	wrap := func(value any) any { return map[string]any{"spec": map[string]any{step: value}} }
	if mutate, ok := fields["mutate"].(map[string]any); ok {
		if patch, found := mutate["patchStrategicMerge"]; found {
			fields["mutate"] = map[string]any{"patchStrategicMerge": wrap(patch)}
			return true
		}
		if each, ok := mutate["foreach"].([]any); ok {
			for _, item := range each {
				if one, ok := item.(map[string]any); ok {
					one["patchStrategicMerge"] = wrap(one["patchStrategicMerge"])
				}
			}
			return true
		}
	}
	if validate, ok := fields["validate"].(map[string]any); ok {
		if pattern, found := validate["pattern"]; found {
			validate["pattern"] = wrap(pattern)
			return true
		}
		if patterns, ok := validate["anyPattern"].([]any); ok {
			for i := range patterns {
				patterns[i] = wrap(patterns[i])
			}
			return true
		}
		return validate["deny"] != nil || validate["podSecurity"] != nil || validate["foreach"] != nil || validate["cel"] != nil
	}
	return fields["verifyImages"] != nil
}

// relocate moves the paths in variables and expressions.
func relocate(raw []byte, cronJob, expressions bool) []byte {
	to := ".spec.template."
	if cronJob {
		to = ".spec.jobTemplate.spec.template."
	}
	roots := []string{"request.object", "request.oldObject"}
	if expressions {
		roots = []string{"object", "oldObject"}
	}
	for _, field := range []string{"spec", "metadata"} {
		for _, root := range roots {
			raw = bytes.ReplaceAll(raw, []byte(root+"."+field), []byte(root+to+field))
		}
	}
	return raw
}
