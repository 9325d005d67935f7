package fleet

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/model/object"
)

// Owned is an object that a unit owns, and what that object owns in turn where it is a unit, too.
type Owned struct {
	Ref object.Ref
	// Health is a word of kstatus (Current, InProgress, Failed, Terminating, NotFound), or Unknown
	// where the object cannot be read. Message says why it is not Current.
	Health  string
	Message string
	// Suspended and Revision are set for units and sources.
	Suspended bool
	Revision  string
	Children  []Owned
	// Again says that the unit stands elsewhere in the same tree, where its children are listed.
	Again bool
}

// parallel is how many objects are asked for at a time.
const parallel = 16

// Tree returns a unit with all that it owns, nested units followed.
func (c *Cluster) Tree(ctx context.Context, unit Resource) (Owned, error) {
	walk := &walk{cluster: c, seen: map[object.Ref]bool{}}
	root := Owned{Ref: unit.Ref()}
	if err := walk.look(ctx, &root); err != nil {
		return Owned{}, err
	}
	return root, walk.descend(ctx, &root)
}

// walk goes down a tree of units, level by level.
type walk struct {
	cluster *Cluster
	seen    map[object.Ref]bool // units whose children are listed, by Ref.Key
}

// look fills in what the cluster says of the object, and its children without looking at them.
func (w *walk) look(ctx context.Context, node *Owned) error {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(node.Ref.GVK())
	err := w.cluster.client.Get(ctx, client.ObjectKey{Namespace: node.Ref.Namespace, Name: node.Ref.Name}, u)
	switch {
	case apierrors.IsNotFound(err):
		node.Health = string(status.NotFoundStatus)
		return nil
	case apimeta.IsNoMatchError(err):
		node.Health, node.Message = string(status.NotFoundStatus), "the cluster does not serve this kind"
		return nil
	case apierrors.IsForbidden(err):
		node.Health, node.Message = string(status.UnknownStatus), "your user may not read it"
		return nil
	case err != nil:
		return fmt.Errorf("getting %s: %w", node.Ref, err)
	}
	node.judge(u)
	kind, known := KindOf(node.Ref.GVK().GroupKind())
	if !known {
		return nil
	}
	resource := NewResource(kind, u)
	node.Suspended, node.Revision = resource.Spec.Suspend, resource.Revision()
	if resource.Ready().Status == metav1.ConditionFalse && Settled(resource) {
		node.Health = string(status.FailedStatus) // kstatus would wait for a unit that says no
	}
	refs, err := resource.Owned()
	for _, ref := range refs {
		node.Children = append(node.Children, Owned{Ref: ref})
	}
	return err
}

// judge takes the verdict of kstatus.
func (o *Owned) judge(u *unstructured.Unstructured) {
	result, err := status.Compute(u)
	if err != nil {
		o.Health, o.Message = string(status.UnknownStatus), err.Error()
		return
	}
	o.Health = string(result.Status)
	if result.Status != status.CurrentStatus {
		o.Message = result.Message
	}
}

// descend looks at the children of a node, many at a time, and then at theirs.
func (w *walk) descend(ctx context.Context, node *Owned) error {
	w.seen[node.Ref.Key()] = true
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range node.Children {
		group.Go(func() error { return w.look(groupCtx, &node.Children[i]) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var failed []error
	for i := range node.Children {
		child := &node.Children[i]
		switch {
		case len(child.Children) == 0:
		case w.seen[child.Ref.Key()]:
			child.Again, child.Children = true, nil
		default:
			failed = append(failed, w.descend(ctx, child))
		}
	}
	return errors.Join(failed...)
}
