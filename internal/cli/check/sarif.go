package check

import (
	"io"
	"slices"

	"holdfast.dev/holdfast/internal/model/finding"
)

// sarif writes SARIF 2.1.0, which code scanning reads.
func (r Report) sarif(out io.Writer) error {
	levels := map[finding.Severity]string{finding.Error: "error", finding.Warning: "warning", finding.Info: "note"}
	var ids []string
	results := []any{}
	for _, one := range r.Findings {
		ids = append(ids, one.Rule)
		result := map[string]any{
			"ruleId": one.Rule, "level": levels[one.Severity], "message": map[string]any{"text": r.line(one)},
		}
		if one.File != "" {
			place := map[string]any{"artifactLocation": map[string]any{"uri": one.File}}
			if one.Line > 0 {
				place["region"] = map[string]any{"startLine": one.Line}
			}
			result["locations"] = []any{map[string]any{"physicalLocation": place}}
		}
		results = append(results, result)
	}
	slices.Sort(ids)
	rules := []any{}
	for _, id := range slices.Compact(ids) {
		rules = append(rules, map[string]any{"id": id})
	}
	return writeJSON(out, map[string]any{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []any{map[string]any{
			"tool":    map[string]any{"driver": map[string]any{"name": "holdfast", "informationUri": "https://holdfast.dev", "rules": rules}},
			"results": results,
		}},
	})
}
