package registrytest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

// Key signs artifacts as cosign does.
type Key struct {
	signer signature.Signer
	// Public is the public key in PEM.
	Public []byte
}

// NewKey makes a key.
func NewKey(t testing.TB) Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	signer, err := signature.LoadSigner(private, crypto.SHA256)
	check(t, err)
	public, err := cryptoutils.MarshalPublicKeyToPEM(private.Public())
	check(t, err)
	return Key{signer, public}
}

// Payload is what cosign signs of an artifact.
func Payload(digest string) []byte {
	return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"x"},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, digest)
}

// Sign signs a payload.
func (k Key) Sign(t testing.TB, payload []byte) mutate.Addendum {
	t.Helper()
	raw, err := k.signer.SignMessage(bytes.NewReader(payload))
	check(t, err)
	return Signature(payload, map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(raw)})
}

// Signature is a signature as cosign keeps it.
func Signature(payload []byte, annotations map[string]string) mutate.Addendum {
	return mutate.Addendum{Layer: static.NewLayer(payload, "application/vnd.dev.cosign.simplesigning.v1+json"), Annotations: annotations}
}

// Attach pushes the signatures of an artifact.
func (s *Server) Attach(t testing.TB, repository, digest string, signatures ...mutate.Addendum) {
	t.Helper()
	image, err := mutate.Append(empty.Image, signatures...)
	check(t, err)
	check(t, remote.Write(s.Reference(t, repository, strings.Replace(digest, ":", "-", 1)+".sig"), image, s.Remote()...))
}
