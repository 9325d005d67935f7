package check

import (
	"context"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
)

// Passed is a set of objects that was judged and may be written. Only Run and Again make one that holds
// anything, so the compiler keeps unchecked objects away from a cluster.
type Passed struct {
	objects []object.Object
	defines map[groupKind]bool
	unknown bool
	told    []finding.Finding
}

// Objects returns the set, sorted for writing. The caller must not modify it.
func (p Passed) Objects() []object.Object { return p.objects }

// Told returns what was found of the set without refusing it: warnings and remarks, sorted.
func (p Passed) Told() []finding.Finding { return p.told }

// Only returns the part of the set that is wanted. What has passed as a whole has passed in part.
func (p Passed) Only(wanted func(object.Object) bool) Passed {
	part := Passed{defines: p.defines, unknown: p.unknown}
	for _, one := range p.objects {
		if wanted(one) {
			part.objects = append(part.objects, one)
		}
	}
	return part
}

// Complete tells whether the kinds of all objects were known; the judgement of a set that is not
// complete may change when more kinds are served.
func (p Passed) Complete() bool { return !p.unknown }

// Defines tells whether the set itself brings the definition of ref's kind, so that the kind may
// not be served yet.
func (p Passed) Defines(ref object.Ref) bool {
	_, found := p.defines[groupKind{ref.Group, ref.Kind}]
	return found
}

// Run has all judges look at a set. Cluster-scoped objects lose a namespace that a transformer gave them,
// as the server would drop it, so that each object has one identity. Where a finding refuses the set, the
// error is a finding.Refused that names all findings, in the order of finding.Compare.
func Run(ctx context.Context, set Set, judges ...Judge) (Passed, error) {
	set, findings, err := look(ctx, set, judges)
	if err != nil {
		return Passed{}, err
	}
	return verdict(set, findings)
}

// Findings has all judges look at a set and returns everything they have to say, sorted: for those who do
// not want to write it.
func Findings(ctx context.Context, set Set, judges ...Judge) ([]finding.Finding, error) {
	_, findings, err := look(ctx, set, judges)
	return findings, err
}

// Again judges objects that have passed before, so that they can be written again: a release that is
// gone back to must not fail because rules have become stricter since. What a cluster itself refuses
// is refused all the same.
func Again(ctx context.Context, kinds Kinds, objects []object.Object) (Passed, error) {
	return Run(ctx, Set{Objects: objects, Kinds: kinds})
}

// look gathers the findings of all judges.
func look(ctx context.Context, set Set, judges []Judge) (Set, []finding.Finding, error) {
	set, err := set.settled(ctx)
	if err != nil {
		return set, nil, err
	}
	findings, err := identities(ctx, set)
	if err != nil {
		return set, nil, err
	}
	for _, judge := range judges {
		found, err := judge.Judge(ctx, set)
		if err != nil {
			return set, nil, err
		}
		findings = append(findings, found...)
	}
	return set, finding.Sort(set.located(findings)), nil
}

// verdict passes a set, or refuses it.
func verdict(set Set, findings []finding.Finding) (Passed, error) {
	refusing, told := finding.Split(findings)
	if len(refusing) > 0 {
		return Passed{}, fault.Because("ReconciliationFailed", &finding.Refused{Findings: findings})
	}
	return Passed{objects: set.Objects, defines: set.defines, unknown: len(set.unknown) > 0, told: told}, nil
}
