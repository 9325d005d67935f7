package gitrepository

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

// get reads an object and what we remember of it. The object is nil where it is gone.
func (c *Controller) get(ctx context.Context, name types.NamespacedName) (*sourcev1.GitRepository, *memory, error) {
	var object sourcev1.GitRepository
	err := c.Client.Get(ctx, name, &object)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		delete(c.memories, name)
		return nil, nil, client.IgnoreNotFound(err)
	}
	known := c.memories[name]
	if known == nil {
		known = &memory{}
		c.memories[name] = known
	}
	if newer(known.written, &object) {
		return known.written.DeepCopy(), known, nil
	}
	return &object, known, nil
}

// newer tells whether our own last write is ahead of the cache. Were it overlooked, the next
// reconcile would start from an artifact that has been replaced.
func newer(written, cached *sourcev1.GitRepository) bool {
	if written == nil || written.UID != cached.UID {
		return false
	}
	ours, ourErr := strconv.ParseUint(written.ResourceVersion, 10, 64)
	theirs, theirErr := strconv.ParseUint(cached.ResourceVersion, 10, 64)
	return ourErr == nil && theirErr == nil && ours > theirs
}

// adopt adds the finalizer. A take-over from Flux finds it there already.
func (c *Controller) adopt(ctx context.Context, object *sourcev1.GitRepository, known *memory) error {
	before := object.DeepCopy()
	if !controllerutil.AddFinalizer(object, sourcev1.SourceFinalizer) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.Client.Patch(ctx, object, patch, client.FieldOwner(fieldOwner)); err != nil {
		return fmt.Errorf("adding finalizer: %w", err)
	}
	known.written = object.DeepCopy()
	return nil
}

// retire ends what is served for an object that is being deleted, and lets it go.
func (c *Controller) retire(ctx context.Context, object *sourcev1.GitRepository) error {
	if !controllerutil.ContainsFinalizer(object, sourcev1.SourceFinalizer) {
		return nil
	}
	if err := c.Store.Retract(folderOf(object)); err != nil {
		return err
	}
	before := object.DeepCopy()
	controllerutil.RemoveFinalizer(object, sourcev1.SourceFinalizer)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.Client.Patch(ctx, object, patch, client.FieldOwner(fieldOwner)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing finalizer: %w", err)
	}
	return nil
}

// save writes a status if it differs from the object's, in one request.
func (c *Controller) save(ctx context.Context, object *sourcev1.GitRepository, status sourcev1.GitRepositoryStatus, known *memory) error {
	if equality.Semantic.DeepEqual(object.Status, status) {
		return nil
	}
	before := object.DeepCopy()
	object.Status = status
	err := c.Client.Status().Patch(ctx, object, client.MergeFrom(before), client.FieldOwner(fieldOwner))
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing status: %w", err)
	}
	known.written = object.DeepCopy()
	return nil
}

// slow is how long a fetch may take before the status says that it is going on.
const slow = time.Second

// announceIfSlow says in the status that a new object or spec is being worked on, if that takes long
// enough for people to wonder. The function returned ends the wait, and gives the object as it was
// written, or nil. A routine look at the remote is never announced.
func (c *Controller) announceIfSlow(ctx context.Context, object *sourcev1.GitRepository) (done func() *sourcev1.GitRepository) {
	if object.Status.Artifact != nil && object.Generation == object.Status.ObservedGeneration {
		return func() *sourcev1.GitRepository { return nil }
	}
	announcement, finished := object.DeepCopy(), make(chan *sourcev1.GitRepository, 1)
	timer := time.AfterFunc(slow, func() {
		status := inProgress(announcement, c.Now())
		if find(announcement.Status.Conditions, meta.ReconcilingCondition).Reason == meta.ProgressingWithRetryReason {
			finished <- nil // a retry is no news
			return
		}
		before := announcement.DeepCopy()
		announcement.Status = status
		if err := c.Client.Status().Patch(ctx, announcement, client.MergeFrom(before), client.FieldOwner(fieldOwner)); err != nil {
			log.FromContext(ctx).Error(err, "announcing progress")
			announcement = nil
		}
		finished <- announcement
	})
	return func() *sourcev1.GitRepository {
		if timer.Stop() {
			return nil
		}
		return <-finished
	}
}
