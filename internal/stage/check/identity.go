package check

import (
	"context"

	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check/position"
)

// The rules of what objects are called. They are always asked: without them a set is none.
const (
	RuleNamespace = "set/namespace"
	RuleDuplicate = "set/duplicate"
)

var _ Judge = JudgeFunc(identities)

// identities finds objects that have no place, and places that have two objects.
func identities(_ context.Context, set Set) ([]finding.Finding, error) {
	var findings []finding.Finding
	seen := make(map[object.Ref]bool, len(set.Objects))
	for _, wanted := range set.Objects {
		key := wanted.Key()
		switch {
		case wanted.Namespace == "" && set.namespaced(wanted.Ref):
			findings = append(findings, finding.Finding{
				Rule: RuleNamespace, Severity: finding.Error, Ref: wanted.Ref, Path: "", File: wanted.Source,
				Message: "namespace not specified", Advice: "set metadata.namespace, or the unit's targetNamespace",
			})
		case seen[key]:
			findings = append(findings, finding.Finding{
				Rule: RuleDuplicate, Severity: finding.Error, Ref: wanted.Ref, File: wanted.Source,
				Message: "the same object is there twice", Advice: "take one of them away",
			})
		}
		seen[key] = true
	}
	return findings, nil
}

// located adds to findings the files and lines of what they are about.
func (s Set) located(findings []finding.Finding) []finding.Finding {
	if len(findings) == 0 {
		return nil
	}
	sources := make(map[object.Ref]string, len(s.Objects))
	for _, one := range s.Objects {
		sources[one.Key()] = one.Source
	}
	files := map[string]position.File{}
	for i, one := range findings {
		if one.File == "" {
			findings[i].File = sources[one.Ref.Key()]
		}
		name := findings[i].File
		if name == "" || one.Line != 0 || s.Read == nil {
			continue
		}
		file, read := files[name]
		if !read {
			if content, err := s.Read(name); err == nil {
				file = position.Parse(content)
			}
			files[name] = file
		}
		findings[i].Line = file.Line(one.Ref, one.Path)
	}
	return findings
}
