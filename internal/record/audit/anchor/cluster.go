package anchor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/record/audit"
)

const (
	// Name is that of the ConfigMap and of the Secret.
	Name = "holdfast-audit"
	// SecretType tells the Secret of the key from others.
	SecretType corev1.SecretType = "holdfast.dev/audit-key" //nolint:gosec // the name of a type, no secret

	keySigner     = "signer"
	keyVerifier   = "verifier"
	keyCheckpoint = "checkpoint"

	// fieldOwner is the manager of the fields we write.
	fieldOwner = "holdfast"
)

// Cluster keeps the key and the last checkpoint in a namespace.
type Cluster struct {
	Client client.Client
	// Reader reads past any cache; nil means Client.
	Reader    client.Reader
	Namespace string
}

func (c Cluster) reader() client.Reader {
	if c.Reader != nil {
		return c.Reader
	}
	return c.Client
}

func (c Cluster) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: c.Namespace, Name: Name, Labels: map[string]string{"app.kubernetes.io/part-of": "holdfast"}}
}

// String implements audit.Anchor.
func (c Cluster) String() string { return "ConfigMap/" + c.Namespace + "/" + Name }

// Key implements audit.KeySource: the key in the Secret, which is made if there is none.
func (c Cluster) Key(ctx context.Context) (audit.SigningKey, error) {
	var secret corev1.Secret
	err := c.reader().Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: Name}, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return c.makeKey(ctx)
	case err != nil:
		return audit.SigningKey{}, fmt.Errorf("reading the key of the audit log: %w", err)
	}
	return keyOf(&secret)
}

func keyOf(secret *corev1.Secret) (audit.SigningKey, error) {
	key := audit.SigningKey{Private: redact.Text(secret.Data[keySigner]), Verifier: string(secret.Data[keyVerifier])}
	if secret.Type != SecretType || key.Private == "" || key.Verifier == "" {
		return audit.SigningKey{}, fmt.Errorf("reading the key of the audit log: Secret/%s/%s is of another type or lacks %s or %s: "+
			"delete it, and a new key is made", secret.Namespace, secret.Name, keySigner, keyVerifier)
	}
	return key, nil
}

// makeKey makes a key and its Secret. Where another replica was faster, its key is taken.
func (c Cluster) makeKey(ctx context.Context) (audit.SigningKey, error) {
	key, err := audit.GenerateKey(rand.Reader)
	if err != nil {
		return audit.SigningKey{}, err
	}
	immutable := true
	secret := &corev1.Secret{ObjectMeta: c.meta(), Type: SecretType, Immutable: &immutable, Data: map[string][]byte{
		keySigner: []byte(key.Private.Reveal()), keyVerifier: []byte(key.Verifier),
	}}
	err = c.Client.Create(ctx, secret, client.FieldOwner(fieldOwner))
	if apierrors.IsAlreadyExists(err) {
		if err := c.reader().Get(ctx, client.ObjectKeyFromObject(secret), secret); err != nil {
			return audit.SigningKey{}, fmt.Errorf("reading the key of the audit log: %w", err)
		}
		return keyOf(secret)
	}
	if err != nil {
		return audit.SigningKey{}, fmt.Errorf("keeping the key of the audit log in Secret/%s/%s: %w", c.Namespace, Name, err)
	}
	return key, nil
}

// Publish implements audit.Anchor.
func (c Cluster) Publish(ctx context.Context, what audit.Anchored) error {
	config := &corev1.ConfigMap{ObjectMeta: c.meta(), Data: map[string]string{keyCheckpoint: what.Note, keyVerifier: what.Verifier}}
	err := c.Client.Update(ctx, config, client.FieldOwner(fieldOwner))
	if apierrors.IsNotFound(err) {
		err = c.Client.Create(ctx, config, client.FieldOwner(fieldOwner))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", c, err)
	}
	return nil
}

// Last implements audit.Anchor.
func (c Cluster) Last(ctx context.Context) (audit.Anchored, error) {
	var config corev1.ConfigMap
	err := c.reader().Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: Name}, &config)
	if apierrors.IsNotFound(err) {
		return audit.Anchored{}, nil
	}
	if err != nil {
		return audit.Anchored{}, errors.Join(fmt.Errorf("reading %s", c), err)
	}
	return audit.Anchored{Note: config.Data[keyCheckpoint], Verifier: config.Data[keyVerifier]}, nil
}
