package source

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// get reads an object and what we remember of it, which is nil where the object is gone.
func (c *Controller[T, F]) get(ctx context.Context, name types.NamespacedName) (T, *memory, error) {
	object := c.kind.Empty()
	err := c.Client.Get(ctx, name, object)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		delete(c.memories, name)
		return object, nil, client.IgnoreNotFound(err)
	}
	known := c.memories[name]
	if known == nil {
		known = &memory{}
		c.memories[name] = known
	}
	if written, found := known.written.(T); found && newer(written, object) {
		return copyOf(written), known, nil
	}
	return object, known, nil
}

// newer tells whether our own last write is ahead of the cache. Were it overlooked, the next
// reconcile would start from an artifact that has been replaced.
func newer(written, cached client.Object) bool {
	if written.GetUID() != cached.GetUID() {
		return false
	}
	ours, ourErr := strconv.ParseUint(written.GetResourceVersion(), 10, 64)
	theirs, theirErr := strconv.ParseUint(cached.GetResourceVersion(), 10, 64)
	return ourErr == nil && theirErr == nil && ours > theirs
}

// adopt adds the finalizer. A take-over from Flux finds it there already.
func (c *Controller[T, F]) adopt(ctx context.Context, object T, known *memory) error {
	before := copyOf(object)
	if !controllerutil.AddFinalizer(object, sourcev1.SourceFinalizer) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.Client.Patch(ctx, object, patch, client.FieldOwner(FieldOwner)); err != nil {
		return fmt.Errorf("adding finalizer: %w", err)
	}
	known.written = copyOf(object)
	return nil
}

// retire ends what is served for an object that is being deleted, and lets it go.
func (c *Controller[T, F]) retire(ctx context.Context, object T) error {
	if !controllerutil.ContainsFinalizer(object, sourcev1.SourceFinalizer) {
		return nil
	}
	if err := c.Store.Retract(c.shelf.folderOf(object)); err != nil {
		return err
	}
	before := copyOf(object)
	controllerutil.RemoveFinalizer(object, sourcev1.SourceFinalizer)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.Client.Patch(ctx, object, patch, client.FieldOwner(FieldOwner)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing finalizer: %w", err)
	}
	return nil
}

// save writes the status of after if it differs from that of before, in one request.
func (c *Controller[T, F]) save(ctx context.Context, before, after T, known *memory) error {
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	err := c.Client.Status().Patch(ctx, after, client.MergeFrom(before), client.FieldOwner(FieldOwner))
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing status: %w", err)
	}
	known.written = copyOf(after)
	return nil
}

// slow is how long a run may take before the status says that it is going on.
const slow = time.Second

// announceIfSlow says in the status that a new object or spec is being worked on, if that takes long
// enough for people to wonder. The function returned ends the wait, and gives the object as it was
// written, if it was. A routine look at the remote is never announced.
func (c *Controller[T, F]) announceIfSlow(ctx context.Context, object T) (done func() (latest T, written bool)) {
	parts := c.kind.Parts(object)
	if *parts.Artifact != nil && object.GetGeneration() == *parts.ObservedGeneration {
		return func() (T, bool) { return object, false }
	}
	type answer struct {
		latest  T
		written bool
	}
	before, finished := copyOf(object), make(chan answer, 1)
	timer := time.AfterFunc(slow, func() {
		if Condition(*parts.Conditions, meta.ReconcilingCondition).Reason == meta.ProgressingWithRetryReason {
			finished <- answer{} // a retry is no news
			return
		}
		after := c.kind.inProgress(before, c.Now())
		err := c.Client.Status().Patch(ctx, after, client.MergeFrom(before), client.FieldOwner(FieldOwner))
		if err != nil {
			log.FromContext(ctx).Error(err, "announcing progress")
		}
		finished <- answer{after, err == nil}
	})
	return func() (T, bool) {
		if timer.Stop() {
			return object, false
		}
		answered := <-finished
		return answered.latest, answered.written
	}
}
