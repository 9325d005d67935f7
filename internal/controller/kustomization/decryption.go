package kustomization

import (
	"context"
	"encoding/base64"
	"fmt"
	"sync"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/decrypt"
	"holdfast.dev/holdfast/internal/stage/render"
)

// providerSOPS is the only way of encryption that there is.
const providerSOPS = "sops"

// keysRef refers to the Secret with a unit's keys: its own, or the one that serves all units without one.
func (o Options) keysRef(u *kustomizev1.Kustomization) (ref object.Ref, shared, found bool) {
	switch wish := u.Spec.Decryption; {
	case wish == nil:
		return object.Ref{}, false, false
	case wish.SecretRef != nil:
		return delivery.ConfigRef(u.Namespace, "Secret", wish.SecretRef.Name), false, true
	case o.AgeSecret.Name != "":
		return delivery.ConfigRef(o.AgeSecret.Namespace, "Secret", o.AgeSecret.Name), true, true
	default:
		return object.Ref{}, false, false
	}
}

// opener returns what decrypts for a unit, or nil where it asks for no decryption. Its keys are those of
// its own Secret, followed by a watch, so that a new key is tried at once.
func (r *reconciler) opener(ctx context.Context, u *kustomizev1.Kustomization) (render.Opener, error) {
	wish := u.Spec.Decryption
	if wish == nil {
		return nil, nil
	}
	if wish.Provider != providerSOPS {
		return nil, fault.Stall(meta.BuildFailedReason, fmt.Errorf("decryption provider '%s' is not served, only '%s'", wish.Provider, providerSOPS))
	}
	ref, shared, found := r.keysRef(u)
	if !found {
		return r.keyrings.of(object.Ref{}, nil, decrypt.Keys{Account: wish.ServiceAccountName}, r.Decryption)
	}
	secret, err := r.Follower.Get(ctx, ref)
	switch {
	case err != nil:
		return nil, fault.Because(meta.BuildFailedReason, fmt.Errorf("reading decryption Secret '%s/%s': %w", ref.Namespace, ref.Name, err))
	case secret == nil && shared:
		return nil, fault.Wait(meta.BuildFailedReason, 0, fmt.Errorf(
			"secrets \"%s\" not found: it is the decryption Secret for all units that name none; have it created, or name one with spec.decryption.secretRef", ref.Name))
	case secret == nil:
		return nil, fault.Wait(meta.BuildFailedReason, 0, fmt.Errorf(
			"decryption Secret '%s/%s' error: secrets \"%s\" not found; create it with the keys that the files were encrypted for", ref.Namespace, ref.Name, ref.Name))
	}
	origin := fmt.Sprintf("Secret %s/%s", ref.Namespace, ref.Name)
	if shared {
		origin = "the Secret for all units"
	}
	return r.keyrings.of(ref, secret, decrypt.Keys{Origin: origin, AgeOnly: shared, Account: wish.ServiceAccountName}, r.Decryption)
}

// keyrings keeps what was read of Secrets with keys, for as long as the Secret is the same. Reading keys
// takes longer than opening files with them.
type keyrings struct {
	lock sync.Mutex
	all  map[keyringID]keyring
}

type keyringID struct {
	ref     object.Ref
	shared  bool
	account string
}

type keyring struct {
	secret *unstructured.Unstructured
	ring   *decrypt.Keyring
	err    error
}

// most bounds how many keyrings are kept. More are read again.
const mostKeyrings = 4096

func (k *keyrings) of(ref object.Ref, secret *unstructured.Unstructured, keys decrypt.Keys, options decrypt.Options) (render.Opener, error) {
	id := keyringID{ref, keys.AgeOnly, keys.Account}
	k.lock.Lock()
	known, found := k.all[id]
	k.lock.Unlock()
	if !found || known.secret != secret {
		known = keyring{secret: secret}
		if keys.Data, known.err = keysIn(secret); known.err == nil {
			known.ring, known.err = decrypt.NewKeyring(keys, options)
		}
		k.lock.Lock()
		if k.all == nil || len(k.all) >= mostKeyrings {
			k.all = map[keyringID]keyring{}
		}
		k.all[id] = known
		k.lock.Unlock()
	}
	if known.err != nil {
		return nil, fault.Because(meta.BuildFailedReason, known.err)
	}
	return known.ring, nil
}

// keysIn returns the data of a Secret. No value gets into an error.
func keysIn(secret *unstructured.Unstructured) (map[string][]byte, error) {
	if secret == nil {
		return nil, nil
	}
	encoded, _, err := unstructured.NestedStringMap(secret.Object, "data")
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: its data is not a map of strings", secret.GetNamespace(), secret.GetName())
	}
	data := make(map[string][]byte, len(encoded))
	for name, value := range encoded {
		raw, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return nil, fmt.Errorf("reading key %q of Secret %s/%s: it is not valid base64", name, secret.GetNamespace(), secret.GetName())
		}
		data[name] = raw
	}
	return data, nil
}
