package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	helmcommon "helm.sh/helm/v4/pkg/release/common"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/kube"
)

// How Helm names and marks its Secrets.
const (
	namePrefix  = "sh.helm.release.v1."
	secretType  = "helm.sh/release.v1"
	dataKey     = "release"
	labelName   = "name"
	labelOwner  = "owner"
	owner       = "helm"
	labelStatus = "status"
	labelNumber = "version"
	labelMade   = "createdAt"
	labelEdited = "modifiedAt"
)

var systemLabels = []string{labelName, labelOwner, labelStatus, labelNumber, labelMade, labelEdited}

// The errors that callers act on.
var (
	// ErrExists says that the release already has a record with that version: somebody else released meanwhile.
	ErrExists = errors.New("release record exists already")
	// ErrNotFound says that there is no such record.
	ErrNotFound = errors.New("release record not found")
)

// Storage keeps the records of one namespace. It is safe for concurrent use.
type Storage struct {
	namespace string
	secrets   typed.SecretInterface
	heads     metadata.ResourceInterface
	now       func() time.Time
}

// Open connects to the records of a namespace, under the identity of the connection. It sends nothing.
func Open(cluster *kube.Cluster, namespace string) (*Storage, error) {
	config := rest.CopyConfig(cluster.Config())
	config.ContentType, config.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
	client, err := typed.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to Helm's storage in namespace %s: %w", namespace, err)
	}
	secrets := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	return &Storage{
		namespace: namespace, secrets: client.Secrets(namespace),
		heads: cluster.Metadata().Resource(secrets).Namespace(namespace), now: time.Now,
	}, nil
}

// Head is what is known of a record without its content.
type Head struct {
	Version int
	Status  helmcommon.Status
}

// Heads returns the records of a release, the newest first. There is none where the release is not known.
func (s *Storage) Heads(ctx context.Context, name string) ([]Head, error) {
	list, err := s.heads.List(ctx, metav1.ListOptions{LabelSelector: selector(name)})
	if err != nil {
		return nil, s.failed("listing records of release", name, 0, err)
	}
	heads := make([]Head, 0, len(list.Items))
	for _, item := range list.Items {
		version, err := strconv.Atoi(item.Labels[labelNumber])
		if err != nil {
			continue // not one of Helm's
		}
		heads = append(heads, Head{Version: version, Status: helmcommon.Status(item.Labels[labelStatus])})
	}
	slices.SortFunc(heads, func(a, b Head) int { return cmp.Compare(b.Version, a.Version) })
	return heads, nil
}

func selector(name string) string {
	return labels.Set{labelName: name, labelOwner: owner}.String()
}

// History returns the records of a release with their content, the newest first. A record that cannot be read
// is left out.
func (s *Storage) History(ctx context.Context, name string) ([]*helmrelease.Release, error) {
	list, err := s.secrets.List(ctx, metav1.ListOptions{LabelSelector: selector(name)})
	if err != nil {
		return nil, s.failed("listing records of release", name, 0, err)
	}
	records := make([]*helmrelease.Release, 0, len(list.Items))
	for i := range list.Items {
		if record, err := read(&list.Items[i]); err == nil {
			records = append(records, record)
		}
	}
	slices.SortFunc(records, func(a, b *helmrelease.Release) int { return cmp.Compare(b.Version, a.Version) })
	return records, nil
}

// Get returns one record.
func (s *Storage) Get(ctx context.Context, name string, version int) (*helmrelease.Release, error) {
	secret, err := s.secrets.Get(ctx, keyOf(name, version), metav1.GetOptions{})
	if err != nil {
		return nil, s.failed("reading record of release", name, version, err)
	}
	record, err := read(secret)
	if err != nil {
		return nil, s.failed("reading record of release", name, version, err)
	}
	return record, nil
}

// read decodes a Secret. What is no label of Helm's is a label of the release.
func read(secret *corev1.Secret) (*helmrelease.Release, error) {
	record, err := decode(secret.Data[dataKey])
	if err != nil {
		return nil, err
	}
	record.Labels = maps.Clone(secret.Labels)
	for _, name := range systemLabels {
		delete(record.Labels, name)
	}
	return record, nil
}

// Create adds a record. ErrExists is in the error where there is one with the same version.
func (s *Storage) Create(ctx context.Context, record *helmrelease.Release) error {
	secret, err := s.secretOf(record, labelMade)
	if err == nil {
		_, err = s.secrets.Create(ctx, secret, metav1.CreateOptions{})
	}
	return s.failed("creating record of release", record.Name, record.Version, err)
}

// Update replaces a record.
func (s *Storage) Update(ctx context.Context, record *helmrelease.Release) error {
	secret, err := s.secretOf(record, labelEdited)
	if err == nil {
		_, err = s.secrets.Update(ctx, secret, metav1.UpdateOptions{})
	}
	return s.failed("updating record of release", record.Name, record.Version, err)
}

func (s *Storage) secretOf(record *helmrelease.Release, stamp string) (*corev1.Secret, error) {
	content, err := encode(record)
	if err != nil {
		return nil, err
	}
	marks := maps.Clone(record.Labels)
	if marks == nil {
		marks = map[string]string{}
	}
	marks[stamp] = strconv.FormatInt(s.now().Unix(), 10)
	marks[labelName], marks[labelOwner] = record.Name, owner
	marks[labelStatus], marks[labelNumber] = record.Info.Status.String(), strconv.Itoa(record.Version)
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: keyOf(record.Name, record.Version), Labels: marks},
		Type:       secretType,
		Data:       map[string][]byte{dataKey: content},
	}, nil
}

// Delete removes a record. One that is gone is no error.
func (s *Storage) Delete(ctx context.Context, name string, version int) error {
	err := s.failed("deleting record of release", name, version, s.secrets.Delete(ctx, keyOf(name, version), metav1.DeleteOptions{}))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Unlock marks a record failed that an interrupted action left pending; otherwise it does nothing.
func (s *Storage) Unlock(ctx context.Context, record *helmrelease.Release, now time.Time) error {
	if !record.Info.Status.IsPending() {
		return nil
	}
	record.Info.LastDeployed = now
	record.SetStatus(helmcommon.StatusFailed, fmt.Sprintf("Release unlocked from stale '%s' state", record.Info.Status))
	return s.Update(ctx, record)
}

// Supersede marks all deployed records of a release superseded but one.
func (s *Storage) Supersede(ctx context.Context, name string, except int) error {
	heads, err := s.Heads(ctx, name)
	if err != nil {
		return err
	}
	var failures []error
	for _, head := range heads {
		if head.Version == except || head.Status != helmcommon.StatusDeployed {
			continue
		}
		record, err := s.Get(ctx, name, head.Version)
		if err == nil {
			record.Info.Status = helmcommon.StatusSuperseded
			err = s.Update(ctx, record)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// Trim removes the oldest records of a release beyond a number, but never the newest that is deployed. Nothing
// is removed where the number is 0.
func (s *Storage) Trim(ctx context.Context, name string, keep int) error {
	if keep <= 0 {
		return nil
	}
	heads, err := s.Heads(ctx, name)
	if err != nil {
		return err
	}
	deployed := slices.IndexFunc(heads, func(head Head) bool { return head.Status == helmcommon.StatusDeployed })
	var failures []error
	for i := len(heads) - 1; i >= 0 && len(heads) > keep; i-- {
		if i == deployed {
			continue
		}
		if err := s.Delete(ctx, name, heads[i].Version); err != nil {
			failures = append(failures, err)
		}
		heads = slices.Delete(heads, i, i+1)
		if deployed > i {
			deployed--
		}
	}
	return errors.Join(failures...)
}

func keyOf(name string, version int) string {
	return namePrefix + name + ".v" + strconv.Itoa(version)
}

// failed names the record in an error, and says which kind it is.
func (s *Storage) failed(doing, name string, version int, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsAlreadyExists(err):
		err = fmt.Errorf("%w: %w", ErrExists, err)
	case apierrors.IsNotFound(err):
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	at := s.namespace + "/" + name
	if version > 0 {
		at += ".v" + strconv.Itoa(version)
	}
	return fmt.Errorf("%s %s: %w", doing, at, err)
}
