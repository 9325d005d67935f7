package gitrepository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/ignore"
	"holdfast.dev/holdfast/internal/store"
)

// findIncluded returns the artifacts of the included repositories. One that is not there yet is
// worth waiting for: its artifact wakes us.
func (c *Controller) findIncluded(ctx context.Context, object *sourcev1.GitRepository) ([]*meta.Artifact, error) {
	switch circle, err := c.circle(ctx, object); {
	case err != nil:
		return nil, fault.Because(meta.FailedReason, fmt.Errorf("including repositories: %w", err))
	case circle:
		return nil, fault.Wait("CircularInclude", 0, errors.New("including repositories: one of them includes this one"))
	}
	var artifacts []*meta.Artifact
	for _, include := range object.Spec.Include {
		name := include.GitRepositoryRef.Name
		var other sourcev1.GitRepository
		err := c.Client.Get(ctx, types.NamespacedName{Namespace: object.Namespace, Name: name}, &other)
		switch {
		case apierrors.IsNotFound(err):
			return nil, fault.Wait("NotFound", 0, fmt.Errorf("including '%s': no such GitRepository in namespace %s", name, object.Namespace))
		case err != nil:
			return nil, fault.Because("NotFound", fmt.Errorf("including '%s': %w", name, err))
		case other.Status.Artifact == nil:
			return nil, fault.Wait("NoArtifact", 0, fmt.Errorf("including '%s': no artifact available", name))
		}
		artifacts = append(artifacts, other.Status.Artifact.DeepCopy())
	}
	return artifacts, nil
}

// circle tells whether an object includes itself, directly or through others. Each round of such a
// circle would make new artifacts for ever.
func (c *Controller) circle(ctx context.Context, object *sourcev1.GitRepository) (bool, error) {
	seen, ahead := map[string]bool{}, includes(object)
	for len(ahead) > 0 {
		name := ahead[0]
		ahead = ahead[1:]
		if name == object.Name {
			return true, nil
		}
		if seen[name] {
			continue
		}
		seen[name] = true
		var other sourcev1.GitRepository
		err := c.Client.Get(ctx, types.NamespacedName{Namespace: object.Namespace, Name: name}, &other)
		if client.IgnoreNotFound(err) != nil {
			return false, err
		}
		ahead = append(ahead, includes(&other)...)
	}
	return false, nil
}

// layers are the files of a commit with those of the included repositories laid over them.
type layers struct {
	entries []tree.Entry
	// origin tells where the content of an entry comes from; the commit's own files are not in it.
	origin map[string]origin
	files  git.Files
	// condition names the condition that holds the error with which layersOf returned.
	condition string
}

type origin struct {
	tree *store.Tree
	path string
}

// layersOf lists the files of a commit and puts the included ones at their places.
func (c *Controller) layersOf(ctx context.Context, object *sourcev1.GitRepository, files git.Files, included []*meta.Artifact) (layers, error) {
	all := layers{files: files, origin: map[string]origin{}, condition: sourcev1.FetchFailedCondition}
	entries, err := files.Entries(ctx)
	if err != nil {
		return all, fault.Because(fault.ReasonOf(err, sourcev1.GitOperationFailedReason), fmt.Errorf("reading commit: %w", err))
	}
	index := tree.NewIndex(entries)
	for _, dir := range object.Spec.SparseCheckout {
		if _, isFile := index.Find(dir); !isFile && !index.IsDir(dir) {
			return all, fault.Because(sourcev1.GitOperationFailedReason,
				fmt.Errorf("checking out sparsely: directory '%s' does not exist in the repository", dir))
		}
	}
	all.entries = index.Entries()
	all.condition = sourcev1.StorageOperationFailedCondition
	for i, include := range object.Spec.Include {
		if err := c.lay(&all, include, included[i]); err != nil {
			return all, fault.Because("CopyFailure", fmt.Errorf("including '%s' from '%s' to '%s': %w",
				include.GitRepositoryRef.Name, include.GetFromPath(), include.GetToPath(), err))
		}
	}
	all.entries = tree.NewIndex(all.entries).Entries() // of two files at one place, the included one stays
	return all, nil
}

// lay adds one included repository, or the part of it that the spec names.
func (c *Controller) lay(all *layers, include sourcev1.GitRepositoryInclude, artifact *meta.Artifact) error {
	stored, err := c.Store.Get(artifact.Digest)
	if err != nil {
		return err
	}
	from, to := tree.Clean(include.GetFromPath()), tree.Clean(include.GetToPath())
	if file, found := stored.Index().Find(from); found {
		all.add(file, origin{stored, from}, to)
		return nil
	}
	if !stored.Index().IsDir(from) {
		return errors.New("there is no such path in it")
	}
	for _, file := range stored.Index().Below(from) {
		within := file.Path
		if from != "." {
			within = file.Path[len(from)+1:]
		}
		all.add(file, origin{stored, file.Path}, path.Join(to, within))
	}
	return nil
}

func (l *layers) add(file tree.Entry, from origin, to string) {
	file.Path = to
	l.entries = append(l.entries, file)
	l.origin[to] = from
}

// open reads the content of an entry from where it comes from.
func (l *layers) open(entry tree.Entry) (io.ReadCloser, error) {
	from, included := l.origin[entry.Path]
	if !included {
		return l.files.Open(entry)
	}
	content, err := from.tree.Read(from.path)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

// filter leaves out what the ignore rules of source and spec exclude.
func (l *layers) filter(specIgnore *string) ([]tree.Entry, error) {
	byPath := tree.NewIndex(append([]tree.Entry(nil), l.entries...))
	read := func(name string) (content []byte, err error) {
		entry, _ := byPath.Find(name)
		file, err := l.open(entry)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		return io.ReadAll(file)
	}
	return ignore.Filter(l.entries, read, specIgnore)
}
