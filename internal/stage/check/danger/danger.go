package danger

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check"
)

// The rules.
const (
	RuleShare     = "danger/prune-share"
	RuleData      = "danger/prune-data"
	RuleImmutable = "danger/recreate"
	RuleSuspend   = "danger/suspend"
)

// Annotation on a unit names what may be deleted: objects as messages write them, separated by blanks or
// commas, "all", or a share of the unit such as "80%".
const Annotation = "holdfast.dev/allow-delete"

// Judge judges by limits. The zero value has those that are documented.
type Judge struct {
	// Share is how much of a unit may be deleted at once, in percent; 0 means 50.
	Share int
	// Few is how many objects may be deleted whatever share they are; 0 means 10.
	Few int
}

var _ check.Judge = Judge{}

// Judge implements check.Judge.
func (j Judge) Judge(ctx context.Context, set check.Set) ([]finding.Finding, error) {
	found, err := j.deletions(ctx, set)
	if err != nil {
		return nil, err
	}
	return append(found, changes(ctx, set)...), nil
}

// allowed is what the unit's author acknowledges.
type allowed struct {
	all   bool
	share int
	named map[string]bool
}

func parse(text string) allowed {
	a := allowed{named: map[string]bool{}}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' }) {
		if share, err := strconv.Atoi(strings.TrimSuffix(word, "%")); err == nil && strings.HasSuffix(word, "%") {
			a.share = share
			continue
		}
		a.all = a.all || strings.EqualFold(word, "all")
		a.named[word] = true
	}
	return a
}

func (j Judge) deletions(ctx context.Context, set check.Set) ([]finding.Finding, error) {
	doomed := set.Doomed(ctx)
	may := parse(set.Allowed)
	if len(doomed) == 0 || may.all {
		return nil, nil
	}
	var found []finding.Finding
	unnamed := 0
	going := map[object.Ref]bool{}
	for _, ref := range doomed {
		going[ref.Key()] = true
		if !may.named[ref.String()] {
			unnamed++
		}
	}
	limit, few := j.Share, j.Few
	if limit == 0 {
		limit = 50
	}
	if few == 0 {
		few = 10
	}
	if share := 100 * len(doomed) / max(len(set.Owned), 1); unnamed > few && share > max(limit, may.share) {
		found = append(found, finding.Finding{
			Rule: RuleShare, Severity: finding.Error, Unit: set.Unit.String(),
			Message: fmt.Sprintf("would delete %d of its %d objects, which is more than %d%%", len(doomed), len(set.Owned), max(limit, may.share)),
			Advice:  "if it is meant, annotate the unit with " + Annotation + `: "` + strconv.Itoa(min(share+1, 100)) + `%"`,
		})
	}
	for _, ref := range doomed {
		if may.named[ref.String()] {
			continue
		}
		what, err := holds(ctx, set.Cluster, ref, going)
		if err != nil {
			return nil, err
		}
		if what != "" {
			found = append(found, finding.Finding{
				Rule: RuleData, Severity: finding.Error, Ref: ref, Message: "would be deleted, and " + what,
				Advice: "if it is meant, annotate the unit with " + Annotation + ": " + ref.String() + "; otherwise put it back, or annotate the object with kustomize.toolkit.fluxcd.io/prune: disabled first",
			})
		}
	}
	return found, nil
}

// fixed are fields that a server does not let change, by group and kind.
var fixed = map[string][]string{
	"apps/Deployment": {"spec.selector"}, "apps/ReplicaSet": {"spec.selector"}, "apps/DaemonSet": {"spec.selector"},
	"apps/StatefulSet":                      {"spec.selector", "spec.serviceName", "spec.podManagementPolicy", "spec.volumeClaimTemplates"},
	"batch/Job":                             {"spec.template", "spec.selector", "spec.completions"},
	"rbac.authorization.k8s.io/RoleBinding": {"roleRef"}, "rbac.authorization.k8s.io/ClusterRoleBinding": {"roleRef"},
	"storage.k8s.io/StorageClass":     {"provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"},
	"scheduling.k8s.io/PriorityClass": {"value"}, "/PersistentVolumeClaim": {"spec.accessModes", "spec.storageClassName", "spec.volumeMode"},
	"/Secret": {"type"}, "apiextensions.k8s.io/CustomResourceDefinition": {"spec.group", "spec.scope"},
}

// changes looks at what differs from what stands. Where that cannot be read, nothing is known of it.
func changes(ctx context.Context, set check.Set) []finding.Finding {
	if set.Before == nil {
		return nil
	}
	before, err := set.Before(ctx)
	if err != nil || len(before) == 0 {
		return nil
	}
	former := make(map[object.Ref]object.Object, len(before))
	for _, one := range before {
		former[one.Key()] = one
	}
	var found []finding.Finding
	for _, one := range set.Objects {
		old, there := former[one.Key()]
		if !there || old.Digest == one.Digest {
			continue
		}
		was, is := content(old), content(one)
		for _, path := range fixed[one.Group+"/"+one.Kind] {
			if reflect.DeepEqual(at(was, path), at(is, path)) {
				continue
			}
			if said, tell := recreated(set, one, path); tell {
				found = append(found, said)
			}
		}
		if off, on := at(was, "spec.suspend") == true, at(is, "spec.suspend") == true; off != on {
			found = append(found, finding.Finding{
				Rule: RuleSuspend, Severity: finding.Warning, Ref: one.Ref, Path: "spec.suspend",
				Message: map[bool]string{true: "is suspended from now on", false: "is suspended no more"}[on],
			})
		}
	}
	return found
}

// recreated says what a change of a fixed field means. Without force, a cluster refuses it by itself.
func recreated(set check.Set, one object.Object, path string) (finding.Finding, bool) {
	said := finding.Finding{Rule: RuleImmutable, Severity: finding.Warning, Ref: one.Ref, Path: path, Message: "cannot change: the object is deleted and made anew"}
	if set.Force || one.Rules.Force {
		return said, true
	}
	said.Severity, said.Message = finding.Error, "cannot change in an object that is there"
	said.Advice = "give the new object another name, or annotate it with kustomize.toolkit.fluxcd.io/force: enabled to have it deleted and made anew"
	return said, set.Cluster == nil
}

func content(one object.Object) map[string]any {
	var read map[string]any
	if json.Unmarshal(one.JSON, &read) != nil {
		return nil
	}
	return read
}

func at(content map[string]any, path string) any {
	var value any = content
	for _, step := range strings.Split(path, ".") {
		fields, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = fields[step]
	}
	return value
}
