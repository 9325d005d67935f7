// Package plaintext judges whether what Secrets hold was in the tree for everybody to read.
//
// In: a check.Set. Out: a finding for each Secret with values that were neither encrypted nor taken from
// elsewhere. It never tells a value.
package plaintext

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/check/position"
)

// Rule is the rule.
const Rule = "secret/plain-text"

// Annotation on a Secret gives the reason why its values may be read by everybody.
const Annotation = "holdfast.dev/allow-plain-secret"

// waiver allows a Secret in a comment, as it does for `holdfast secrets check`.
const waiver = "holdfast:allow-secret"

// Judge is the judge.
type Judge struct{}

var _ check.Judge = Judge{}

type secret struct {
	Type     string
	Metadata struct{ Annotations map[string]string }
	Data     map[string]any
	Texts    map[string]any `json:"stringData"`
}

// Judge implements check.Judge.
func (Judge) Judge(_ context.Context, set check.Set) ([]finding.Finding, error) {
	var found []finding.Finding
	for _, one := range set.Objects {
		if one.Group != "" || one.Kind != "Secret" {
			continue
		}
		var read secret
		if json.Unmarshal(one.JSON, &read) != nil || strings.TrimSpace(read.Metadata.Annotations[Annotation]) != "" {
			continue
		}
		keys := plain(read, set)
		if len(keys) == 0 || waived(one, set) {
			continue
		}
		found = append(found, finding.Finding{
			Rule: Rule, Severity: finding.Warning, Ref: one.Ref, Path: path(keys[0]),
			Message: "is in plain text in the source: " + strings.Join(keys, ", "),
			Advice:  "encrypt the file with `holdfast secrets encrypt`, and replace what was pushed already; annotation " + Annotation + " allows it for a reason",
		})
	}
	return found, nil
}

func path(key string) string {
	if strings.ContainsAny(key, ".[]") {
		return "data[" + key + "]"
	}
	return "data." + key
}

// plain returns the keys whose values everybody can read.
func plain(read secret, set check.Set) []string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(read.Data)) {
		text, _ := read.Data[key].(string)
		if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
			text = string(raw)
		}
		if !harmless(text, set) {
			keys = append(keys, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(read.Texts)) {
		if text, _ := read.Texts[key].(string); !harmless(text, set) {
			keys = append(keys, key)
		}
	}
	return keys
}

// shortest is the length from which a hidden value within another one counts.
const shortest = 4

func harmless(text string, set check.Set) bool {
	trimmed := strings.TrimSpace(text)
	if trimmed == "" || strings.HasPrefix(trimmed, "ENC[") || strings.Contains(trimmed, redact.Placeholder) || strings.Contains(trimmed, "${") {
		return true
	}
	for _, one := range set.Placeholders {
		if strings.Contains(trimmed, one) {
			return true
		}
	}
	for _, one := range set.Hidden {
		value := one.Reveal()
		if text == value || len(value) >= shortest && (strings.Contains(text, value) || len(trimmed) >= shortest && strings.Contains(value, trimmed)) {
			return true
		}
	}
	return false
}

// waived tells whether the author allows it with a reason, in a comment.
func waived(one object.Object, set check.Set) bool {
	if set.Read == nil || one.Source == "" {
		return false
	}
	content, err := set.Read(one.Source)
	if err != nil || !strings.Contains(string(content), waiver) {
		return false
	}
	for _, comment := range position.Parse(content).Comments(one.Ref) {
		if _, reason, found := strings.Cut(comment, waiver); found && len(strings.TrimSpace(reason)) >= 3 {
			return true
		}
	}
	return false
}
