// Package lifecycle judges whether the API versions that objects are written in are here to stay.
//
// In: a check.Set. Out: findings about versions that are deprecated or gone, by what Kubernetes' own types
// say of themselves. It knows built-in kinds only.
package lifecycle

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check"
)

// The rules.
const (
	RuleDeprecated = "api/deprecated"
	RuleRemoved    = "api/removed"
)

// Judge judges by a minor version of Kubernetes, as "1.36". A cluster's own version wins.
type Judge struct{ Version string }

var _ check.Judge = Judge{}

// Judge implements check.Judge. A cluster tells by itself of what it does not serve.
func (j Judge) Judge(ctx context.Context, set check.Set) ([]finding.Finding, error) {
	version := j.Version
	if set.Cluster != nil {
		if said, err := set.Cluster.Schemas().Version(ctx); err == nil && said != "" {
			version = said
		}
	}
	known := map[schema.GroupVersionKind]*finding.Finding{}
	var found []finding.Finding
	for _, one := range set.Objects {
		verdict, judged := known[one.GVK()]
		if !judged {
			verdict = about(one, minor(version))
			known[one.GVK()] = verdict
		}
		if verdict == nil || verdict.Severity == finding.Error && set.Cluster != nil {
			continue
		}
		said := *verdict
		said.Ref = one.Ref
		found = append(found, said)
	}
	return found, nil
}

func minor(version string) int {
	_, text, _ := strings.Cut(version, ".")
	number, _ := strconv.Atoi(text) // what is no version is older than all
	return number
}

// about tells what is to be said of a kind.
func about(one object.Object, now int) *finding.Finding {
	typed, err := scheme.Scheme.New(one.GVK())
	if err != nil {
		return nil
	}
	said := &finding.Finding{Path: "apiVersion"}
	if next, ok := typed.(interface {
		APILifecycleReplacement() schema.GroupVersionKind
	}); ok {
		said.Advice = "write it as " + next.APILifecycleReplacement().GroupVersion().String()
	}
	if removed, ok := typed.(interface{ APILifecycleRemoved() (major, minor int) }); ok {
		if major, since := removed.APILifecycleRemoved(); now >= since {
			said.Rule, said.Severity = RuleRemoved, finding.Error
			said.Message = fmt.Sprintf("Kubernetes serves it no more, since %d.%d", major, since)
			return said
		}
	}
	if deprecated, ok := typed.(interface{ APILifecycleDeprecated() (major, minor int) }); ok {
		if major, since := deprecated.APILifecycleDeprecated(); now >= since {
			said.Rule, said.Severity = RuleDeprecated, finding.Warning
			said.Message = fmt.Sprintf("is deprecated since Kubernetes %d.%d", major, since)
			return said
		}
	}
	return nil
}
