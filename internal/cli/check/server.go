package check

import (
	"context"
	"errors"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	gate "holdfast.dev/holdfast/internal/stage/check"
)

// RuleServer is of what the API server refuses in a dry-run.
const RuleServer = "server/refused"

// manager is who a delivery would write as.
const manager = "kustomize-controller"

// server has a cluster try each object without keeping it.
type server struct{ cluster *kube.Cluster }

// Judge implements check.Judge. What the same tree brings only now (kinds, namespaces) the server cannot try.
func (s server) Judge(ctx context.Context, set gate.Set) ([]finding.Finding, error) {
	brought := map[string]bool{}
	for _, one := range set.Others {
		if one.Kind == "Namespace" {
			brought[one.Name] = true
		}
	}
	refusals := make([]error, len(set.Objects))
	var group sync.WaitGroup
	for i, one := range set.Objects {
		if one.Rules.Skipped() {
			continue
		}
		group.Go(func() {
			_, refusals[i] = s.cluster.Apply(ctx, one.Ref, one.JSON, kube.ApplyOptions{Manager: manager, DryRun: true})
		})
	}
	group.Wait()
	var found []finding.Finding
	for i, err := range refusals {
		one := set.Objects[i]
		switch {
		case err == nil, meta.IsNoMatchError(err), apierrors.IsNotFound(err) && brought[one.Namespace]:
		case !answered(err):
			return nil, err
		default:
			found = append(found, refused(one, err))
		}
	}
	return found, nil
}

func answered(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status)
}

func refused(one object.Object, err error) finding.Finding {
	message := err.Error()
	if one.Kind == "Secret" {
		message = string(apierrors.ReasonForError(err)) // its words may hold values
	}
	return finding.Finding{Rule: RuleServer, Severity: finding.Error, Ref: one.Ref, Message: "is refused by the server: " + message}
}
