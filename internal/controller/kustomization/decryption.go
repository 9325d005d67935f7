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
	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/decrypt"
	"holdfast.dev/holdfast/internal/stage/decrypt/kms"
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
	held := holding{holder: r.Identities.Of(r.decryptionAccount(u))}
	if r.VaultConfigMap.Name != "" {
		var err error
		if held.vaults, err = r.Follower.Get(ctx, r.vaultsRef()); err != nil {
			return nil, fault.Because(meta.BuildFailedReason, fmt.Errorf("reading the ConfigMap '%s' of Vaults: %w", r.VaultConfigMap, err))
		}
	}
	var shared, found bool
	if held.ref, shared, found = r.keysRef(u); !found {
		return r.keyrings.of(held, decrypt.Keys{}, r.Decryption)
	}
	ref := held.ref
	secret, err := r.Follower.Get(ctx, ref)
	held.secret = secret
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
	return r.keyrings.of(held, decrypt.Keys{Origin: origin, AgeOnly: shared}, r.Decryption)
}

// decryptionAccount returns whose identity key services are asked with for a unit.
func (o Options) decryptionAccount(u *kustomizev1.Kustomization) identity.Account {
	name := u.Spec.Decryption.ServiceAccountName
	if name == "" {
		name = o.DefaultDecryptionServiceAccount
	}
	return identity.Account{Namespace: u.Namespace, Name: name}
}

// vaultsRef refers to the ConfigMap with the Vaults that identities may log in to.
func (o Options) vaultsRef() object.Ref {
	return delivery.ConfigRef(o.VaultConfigMap.Namespace, "ConfigMap", o.VaultConfigMap.Name)
}

// keyrings keeps what was read of Secrets with keys, for as long as the Secret is the same. Reading keys
// takes longer than opening files with them.
type keyrings struct {
	lock sync.Mutex
	all  map[keyringID]keyring
}

// keyringID tells keyrings apart. The account has a namespace: no unit gets the identity of another's.
type keyringID struct {
	ref     object.Ref
	shared  bool
	account identity.Account
}

type keyring struct {
	holding
	ring *decrypt.Keyring
	err  error
}

// holding is what a keyring is made of.
type holding struct {
	ref    object.Ref // of the Secret; zero where there is none
	secret *unstructured.Unstructured
	vaults *unstructured.Unstructured // the ConfigMap of Vaults; nil where there is none
	holder identity.Holder
}

// most bounds how many keyrings are kept. More are read again.
const mostKeyrings = 4096

func (k *keyrings) of(from holding, keys decrypt.Keys, options decrypt.Options) (render.Opener, error) {
	id := keyringID{from.ref, keys.AgeOnly, from.holder.Account()}
	k.lock.Lock()
	known, found := k.all[id]
	k.lock.Unlock()
	if !found || known.secret != from.secret || known.vaults != from.vaults {
		known = keyring{holding: from}
		known.ring, known.err = from.read(keys, options)
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

// read makes a keyring.
func (h holding) read(keys decrypt.Keys, options decrypt.Options) (*decrypt.Keyring, error) {
	keys.Holder = h.holder
	var err error
	if keys.Data, err = keysIn(h.secret); err != nil {
		return nil, err
	}
	if h.vaults != nil {
		text, _, _ := unstructured.NestedString(h.vaults.Object, "data", vaultsKey)
		if keys.Vaults, err = kms.ParseVaults([]byte(text)); err != nil {
			return nil, fmt.Errorf("reading key %q of ConfigMap %s/%s: %w", vaultsKey, h.vaults.GetNamespace(), h.vaults.GetName(), err)
		}
	}
	return decrypt.NewKeyring(keys, options)
}

// vaultsKey is what Flux calls the list of Vaults in its ConfigMap.
const vaultsKey = "config.yaml"

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
