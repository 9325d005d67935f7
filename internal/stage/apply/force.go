package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
)

// mayRecreate tells whether a refused change is one that deleting the object first would allow.
// Texts of errors are no proof of an immutable field (flux2 #3627 lost objects to plain validation
// errors), so the server is asked: the same object under another name must be acceptable.
func (r *run) mayRecreate(ctx context.Context, p *plan, refusal error) bool {
	if !r.Force && !p.wanted.Rules.Force && !p.live.Rules.Force {
		return false
	}
	if !apierrors.IsInvalid(refusal) && !apierrors.IsConflict(refusal) {
		return false
	}
	live, err := r.Cluster.Get(ctx, p.wanted.Ref)
	if err != nil {
		return false // there is nothing to delete, so the object itself is at fault
	}
	p.live.UID = live.GetUID()
	probe, body, err := probe(p.wanted)
	if err != nil {
		return false
	}
	_, err = r.Cluster.Apply(ctx, probe, body, kube.ApplyOptions{Manager: r.options.Manager, DryRun: true})
	return err == nil
}

// probe returns the object under a name that nobody uses.
func probe(wanted object.Object) (object.Ref, []byte, error) {
	u, err := wanted.Decode()
	if err != nil {
		return object.Ref{}, nil, err
	}
	sum := sha256.Sum256([]byte(wanted.ID()))
	u.SetName("holdfast-probe-" + hex.EncodeToString(sum[:6]))
	ref := wanted.Ref
	ref.Name = u.GetName()
	body, err := json.Marshal(u.Object)
	return ref, body, err
}
