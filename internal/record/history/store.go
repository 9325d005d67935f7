package history

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/klauspost/compress/zstd"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
)

var secrets = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

// Store keeps the releases of the units of one kind. What it was told it remembers, so that reading
// costs one list for all units together. It is safe for concurrent use by different units.
type Store struct {
	namespace string
	kind      string
	content   dynamic.ResourceInterface
	meta      metadata.ResourceInterface
	cluster   *kube.Cluster
	encoder   func() (*zstd.Encoder, error)

	lock  sync.Mutex
	read  bool
	books map[object.Owner]release.Book
	parts map[object.Owner]map[int64]int // how many Secrets a release has, where it is more than one
}

// New makes a Store for the units of a kind. Secrets are kept in the namespace, which is made if it is
// missing.
func New(cluster *kube.Cluster, namespace, kind string) *Store {
	return &Store{
		namespace: namespace, kind: kind, cluster: cluster, encoder: sync.OnceValues(newEncoder),
		content: cluster.Dynamic().Resource(secrets).Namespace(namespace),
		meta:    cluster.Metadata().Resource(secrets).Namespace(namespace),
		books:   map[object.Owner]release.Book{},
		parts:   map[object.Owner]map[int64]int{},
	}
}

// Book returns what is known of a unit's releases, the newest first.
func (s *Store) Book(ctx context.Context, unit object.Owner) (release.Book, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if !s.read {
		if err := s.load(ctx); err != nil {
			return nil, err
		}
		s.read = true
	}
	return s.books[unit], nil
}

// pageSize bounds one answer of the server.
const pageSize = 500

// load reads what is known of all releases. Their objects stay in the cluster. The lock is held.
func (s *Store) load(ctx context.Context) error {
	options := metav1.ListOptions{LabelSelector: labelManaged + "=" + managed + "," + LabelPart + "=0", Limit: pageSize}
	for {
		page, err := s.meta.List(ctx, options)
		if err != nil {
			return fmt.Errorf("listing releases in namespace %s: %w", s.namespace, err)
		}
		for i := range page.Items {
			s.take(&page.Items[i])
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return nil
		}
	}
}

// take notes a release. One that cannot be read is no release: it was not written by us.
func (s *Store) take(meta metav1.Object) {
	kind, unit, one, err := Decode(meta)
	if err != nil || kind != s.kind {
		return
	}
	s.books[unit] = s.books[unit].With(one)
	if parts, err := strconv.Atoi(meta.GetAnnotations()[annotationParts]); err == nil && parts > 1 {
		s.split(unit, one.Number, parts)
	}
}

func (s *Store) split(unit object.Owner, number int64, parts int) {
	if s.parts[unit] == nil {
		s.parts[unit] = map[int64]int{}
	}
	s.parts[unit][number] = parts
}

// Add keeps a new release and its objects. Its first Secret is written last: a release without it was
// never begun. Releases that are too old to be kept are dropped.
func (s *Store) Add(ctx context.Context, unit object.Owner, one release.Release, objects []object.Object) error {
	packed, err := s.pack(objects)
	if err != nil {
		return err
	}
	chunks := slices.Collect(slices.Chunk(packed, partSize))
	if len(chunks) == 0 {
		chunks = [][]byte{nil}
	}
	for part := len(chunks) - 1; part >= 0; part-- {
		secret, err := s.secretOf(unit, one, part, len(chunks), chunks[part])
		if err != nil {
			return err
		}
		if err := s.create(ctx, secret); err != nil {
			return fmt.Errorf("keeping release %d of %s: %w", one.Number, unit, err)
		}
	}
	s.lock.Lock()
	kept, cut := s.books[unit].With(one).Cut()
	s.books[unit] = kept
	if len(chunks) > 1 {
		s.split(unit, one.Number, len(chunks))
	}
	s.lock.Unlock()
	for _, old := range cut {
		s.discard(ctx, unit, old.Number)
	}
	return nil
}

// create writes a Secret. One of the same name is left over from an attempt that was cut short, or
// from a unit of that name in a former life: it is replaced.
func (s *Store) create(ctx context.Context, secret *unstructured.Unstructured) error {
	_, err := s.content.Create(ctx, secret, metav1.CreateOptions{FieldManager: managed})
	switch {
	case apierrors.IsAlreadyExists(err):
		if err := s.content.Delete(ctx, secret.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	case apierrors.IsNotFound(err):
		if err := s.makeNamespace(ctx); err != nil {
			return err
		}
	default:
		return err
	}
	_, err = s.content.Create(ctx, secret, metav1.CreateOptions{FieldManager: managed})
	return err
}

func (s *Store) makeNamespace(ctx context.Context) error {
	namespace := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": s.namespace},
	}}
	resource := schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	_, err := s.cluster.Dynamic().Resource(resource).Create(ctx, namespace, metav1.CreateOptions{FieldManager: managed})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// Change keeps what is known of a release by now.
func (s *Store) Change(ctx context.Context, unit object.Owner, one release.Release) error {
	state, err := encodeRelease(one)
	if err != nil {
		return err
	}
	patch, err := annotationPatch(AnnotationRelease, state)
	if err != nil {
		return err
	}
	name := secretName(s.kind, unit, one.Number, 0)
	if _, err := s.meta.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: managed}); err != nil {
		return fmt.Errorf("keeping release %d of %s: %w", one.Number, unit, err)
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	s.books[unit] = s.books[unit].With(one)
	return nil
}

// Objects returns what a release consists of.
func (s *Store) Objects(ctx context.Context, unit object.Owner, number int64) ([]object.Object, error) {
	s.lock.Lock()
	parts := max(1, s.parts[unit][number])
	s.lock.Unlock()
	var packed []byte
	for part := range parts {
		name := secretName(s.kind, unit, number, part)
		secret, err := s.content.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("reading release %d of %s: %w", number, unit, err)
		}
		encoded, _, _ := unstructured.NestedString(secret.Object, "data", dataKey)
		chunk, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, fmt.Errorf("reading release %d of %s: Secret %s/%s is damaged", number, unit, s.namespace, name)
		}
		packed = append(packed, chunk...)
	}
	objects, err := unpack(packed)
	if err != nil {
		return nil, fmt.Errorf("reading release %d of %s: %w", number, unit, err)
	}
	return objects, nil
}

// discard deletes a release that is too old to be kept. What cannot be deleted now is with the unit.
func (s *Store) discard(ctx context.Context, unit object.Owner, number int64) {
	s.lock.Lock()
	parts := max(1, s.parts[unit][number])
	delete(s.parts[unit], number)
	s.lock.Unlock()
	for part := range parts {
		_ = s.content.Delete(ctx, secretName(s.kind, unit, number, part), metav1.DeleteOptions{})
	}
}

// Drop deletes all releases of a unit.
func (s *Store) Drop(ctx context.Context, unit object.Owner) error {
	selector := labelManaged + "=" + managed + "," + LabelUnit + "=" + unitID(s.kind, unit)
	err := s.content.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: selector})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting the releases of %s: %w", unit, err)
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	delete(s.books, unit)
	delete(s.parts, unit)
	return nil
}
