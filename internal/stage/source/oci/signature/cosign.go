package signature

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"holdfast.dev/holdfast/internal/stage/source/oci"
)

// Identity is a signer that is trusted: two regular expressions, for who says so and for what the signer is called.
type Identity struct{ Issuer, Subject string }

// Trust is what cosign's signatures are verified with: keys, or identities together with a root.
type Trust struct {
	// Keys are public keys in PEM, by the names under which people know them.
	Keys map[string][]byte
	// Identities may sign without a key; Root is the trusted_root.json of the Sigstore that knows them.
	Identities []Identity
	Root       []byte
}

// Limits of what is looked at.
const (
	maxSignatures = 32
	maxPayload    = 64 << 10
	maxBundle     = 1 << 20
)

// The names of cosign's format.
const (
	payloadType   = "application/vnd.dev.cosign.simplesigning.v1+json"
	payloadKind   = "cosign container image signature"
	signatureKey  = "dev.cosignproject.cosign/signature"
	certKey       = "dev.sigstore.cosign/certificate"
	chainKey      = "dev.sigstore.cosign/chain"
	logKey        = "dev.sigstore.cosign/bundle"
	timeKey       = "dev.sigstore.cosign/rfc3161timestamp"
	bundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	predicateSign = "https://sigstore.dev/cosign/sign/v1"
)

// ErrUnsigned says that an artifact has no signature that could be looked at.
var ErrUnsigned = errors.New("it has no signature")

// Cosign verifies an artifact that cosign signed. One good signature is enough; the others may be of anybody.
func Cosign(ctx context.Context, found oci.Found, trust Trust) (signer string, err error) {
	judge, err := judgeOf(trust)
	if err != nil {
		return "", err
	}
	ctx, cancel := found.Within(ctx)
	defer cancel()
	all, err := collect(ctx, found)
	if err != nil {
		return "", fmt.Errorf("looking for signatures of '%s': %w", found.Name(), err)
	}
	if len(all) == 0 {
		return "", fmt.Errorf("no matching signatures were found for '%s': %w", found.Name(), ErrUnsigned)
	}
	var reasons []string
	for _, one := range all {
		signer, err := judge.judge(found.Digest, one)
		if err == nil {
			return signer, nil
		}
		reasons = append(reasons, err.Error())
	}
	return "", fmt.Errorf("no matching signatures were found for '%s': %s", found.Name(), strings.Join(reasons, "; "))
}

// signed is a signature as it is in a registry: a payload with annotations, or a bundle.
type signed struct {
	payload     []byte
	annotations map[string]string
	bundle      []byte
}

// judge decides about one signature.
type judge interface {
	judge(digest string, one signed) (signer string, err error)
}

func judgeOf(trust Trust) (judge, error) {
	if len(trust.Keys) > 0 {
		return newKeys(trust.Keys)
	}
	return newIdentities(trust)
}

// collect reads the signatures: those of the tag that belongs to the digest, and those that refer to it.
func collect(ctx context.Context, found oci.Found) ([]signed, error) {
	var all []signed
	manifest, err := found.Tagged(ctx, strings.Replace(found.Digest, ":", "-", 1)+".sig")
	if err != nil && !errors.Is(err, oci.ErrNoCompanion) {
		return nil, err
	}
	if err == nil {
		for _, layer := range manifest.Layers {
			if string(layer.MediaType) != payloadType {
				continue
			}
			if len(all) == maxSignatures {
				return all, nil
			}
			payload, err := found.Blob(ctx, layer, maxPayload)
			if err != nil {
				return nil, err
			}
			all = append(all, signed{payload: payload, annotations: layer.Annotations})
		}
	}
	referring, err := found.Referring(ctx, bundleType)
	if err != nil {
		return nil, err
	}
	for _, one := range referring {
		if len(all) == maxSignatures {
			break
		}
		content, err := bundleOf(ctx, found, one)
		if err != nil {
			return nil, err
		}
		all = append(all, signed{bundle: content})
	}
	return all, nil
}

func bundleOf(ctx context.Context, found oci.Found, one v1.Descriptor) ([]byte, error) {
	manifest, err := found.Manifest(ctx, one.Digest)
	if err != nil {
		return nil, err
	}
	if len(manifest.Layers) == 0 {
		return nil, fmt.Errorf("signature %s has no layer", one.Digest)
	}
	return found.Blob(ctx, manifest.Layers[0], maxBundle)
}

// check makes sure that a payload is about the artifact.
func (s signed) check(digest string) error {
	var said struct {
		Critical struct {
			Type  string `json:"type"`
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
		} `json:"critical"`
	}
	if err := json.Unmarshal(s.payload, &said); err != nil {
		return errors.New("a signature's payload is no JSON")
	}
	if said.Critical.Type != payloadKind || said.Critical.Image.Digest != digest {
		return errors.New("a signature is about another artifact")
	}
	return nil
}

func (s signed) raw() ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(s.annotations[signatureKey])
	if err != nil || len(raw) == 0 {
		return nil, errors.New("a signature is no base64")
	}
	return raw, nil
}

// keys are public keys that are trusted.
type keys []key

type key struct {
	name     string
	verifier signature.Verifier
}

func newKeys(all map[string][]byte) (keys, error) {
	var found keys
	for name, content := range all {
		public, err := cryptoutils.UnmarshalPEMToPublicKey(content)
		if err != nil {
			return nil, fmt.Errorf("reading key %s: it is no public key in PEM", name)
		}
		verifier, err := signature.LoadVerifier(public, crypto.SHA256)
		if err != nil {
			return nil, fmt.Errorf("reading key %s: keys of this kind are not supported", name)
		}
		found = append(found, key{fingerprint(public), verifier})
	}
	return found, nil
}

func fingerprint(public crypto.PublicKey) string {
	der, err := cryptoutils.MarshalPublicKeyToDER(public)
	if err != nil {
		return "key"
	}
	return fmt.Sprintf("key SHA256:%x", sha256.Sum256(der))
}

func (k keys) judge(digest string, one signed) (string, error) {
	if one.bundle != nil {
		return k.judgeBundle(digest, one.bundle)
	}
	if err := one.check(digest); err != nil {
		return "", err
	}
	raw, err := one.raw()
	if err != nil {
		return "", err
	}
	for _, candidate := range k {
		if candidate.verifier.VerifySignature(bytes.NewReader(raw), bytes.NewReader(one.payload)) == nil {
			return candidate.name, nil
		}
	}
	return "", errors.New("a signature is not of a key that is trusted")
}
