package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/store"
)

// Shelf is the part of the store that belongs to a kind.
type Shelf struct {
	Store *store.Store
	// PublicURL is what the store's published paths are appended to.
	PublicURL string
	Kind      string
	Now       func() time.Time
}

// Put stores a snapshot and publishes it as an object's artifact. file names it among the object's own,
// without a suffix. The compressed files of previous, which may be nil, are taken over where they did not
// change.
func (s Shelf) Put(ctx context.Context, object client.Object, file string, snapshot store.Snapshot, previous *meta.Artifact) (*meta.Artifact, error) {
	stored, err := s.Store.Put(ctx, snapshot, s.tree(previous))
	if err != nil {
		return nil, fault.Because(sourcev1.ArchiveOperationFailedReason, err)
	}
	return s.publish(object, file, &meta.Artifact{Digest: stored.Digest(), Revision: snapshot.Revision}, stored.Size())
}

// PutFile stores a file as it is and publishes it as an object's artifact. files, which may be nil, is what it
// holds, so that whoever opens the artifact finds it as a tree.
func (s Shelf) PutFile(ctx context.Context, object client.Object, file string, content io.Reader, revision string, files *store.Snapshot) (*meta.Artifact, error) {
	digest, size, err := s.Store.PutFile(ctx, revision, content)
	if err == nil && files != nil {
		var stored *store.Tree
		if stored, err = s.Store.Put(ctx, *files, nil); err == nil {
			err = s.Store.Alias(digest, stored.Digest())
		}
	}
	if err != nil {
		return nil, fault.Because(sourcev1.ArchiveOperationFailedReason, err)
	}
	return s.publish(object, file, &meta.Artifact{Digest: digest, Revision: revision}, size)
}

func (s Shelf) publish(object client.Object, file string, artifact *meta.Artifact, size int64) (*meta.Artifact, error) {
	artifact.Path = store.PathOf(s.Kind, object.GetNamespace(), object.GetName(), file)
	if err := s.Store.Publish(artifact.Path, artifact.Digest); err != nil {
		return nil, fault.Because(sourcev1.ArchiveOperationFailedReason, err)
	}
	artifact.URL, artifact.Size = s.PublicURL+artifact.Path, &size
	artifact.LastUpdateTime = metav1.NewTime(s.Now().UTC().Truncate(time.Second))
	return artifact, nil
}

// tree returns the tree whose compressed files a new one can take over. It is only a help: where it cannot
// be opened, everything is compressed anew.
func (s Shelf) tree(artifact *meta.Artifact) *store.Tree {
	if artifact == nil {
		return nil
	}
	previous, err := s.Store.Get(artifact.Digest)
	if err != nil {
		return nil
	}
	return previous
}

// kept returns the artifact in the status if its tree is whole and served, and otherwise why not.
func (s Shelf) kept(object client.Object, artifact *meta.Artifact) (*meta.Artifact, error) {
	if artifact == nil {
		return nil, nil
	}
	artifact = artifact.DeepCopy()
	if path.Dir(artifact.Path) != s.folderOf(object) {
		return nil, fmt.Errorf("finding artifact: path %q belongs to another object", artifact.Path)
	}
	err := s.Store.Check(artifact.Digest)
	if err == nil {
		err = s.Store.Publish(artifact.Path, artifact.Digest)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// Any other trouble with the disk may pass, and must not cost the artifact.
	artifact.URL = s.PublicURL + artifact.Path // the address may be another one since the last start
	return artifact, nil
}

// Latest returns the address under which an object's current artifact can be asked for.
func (s Shelf) Latest(object client.Object) string {
	return s.PublicURL + store.PathOf(s.Kind, object.GetNamespace(), object.GetName(), "latest")
}

// folderOf returns the path below which an object's artifacts are published.
func (s Shelf) folderOf(object client.Object) string {
	return path.Dir(store.PathOf(s.Kind, object.GetNamespace(), object.GetName(), "any"))
}
