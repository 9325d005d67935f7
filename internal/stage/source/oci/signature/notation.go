package signature

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"holdfast.dev/holdfast/internal/stage/source/oci"
)

// Notary is what notation's signatures are verified with.
type Notary struct {
	// Policy is the trust policy, a trustpolicy.json.
	Policy []byte
	// Certificates are those of the authorities that are trusted, in PEM. They are all stores of the policy.
	Certificates [][]byte
}

// notationType is the type of what refers to an artifact as its signature.
const notationType = "application/vnd.cncf.notary.signature"

// Notation verifies an artifact that notation signed.
func Notation(ctx context.Context, found oci.Found, trust Notary) (signer string, err error) {
	var policy trustpolicy.Document
	if err := json.Unmarshal(trust.Policy, &policy); err != nil {
		return "", errors.New("reading trustpolicy.json: it is no JSON of a trust policy")
	}
	certificates, err := trust.certificates()
	if err != nil {
		return "", err
	}
	judge, err := verifier.NewWithOptions(&policy, certificates, nil, verifier.VerifierOptions{})
	if err != nil {
		return "", fmt.Errorf("reading trustpolicy.json: %w", err)
	}
	ctx, cancel := found.Within(ctx)
	defer cancel()
	_, outcomes, err := notation.Verify(ctx, judge, shelf{found}, notation.VerifyOptions{
		ArtifactReference: found.Name(), MaxSignatureAttempts: maxSignatures,
	})
	if err != nil {
		return "", fmt.Errorf("no matching signatures were found for '%s': %w", found.Name(), err)
	}
	for _, outcome := range outcomes {
		if outcome.Error != nil {
			continue
		}
		if outcome.VerificationLevel != nil && outcome.VerificationLevel.Name == trustpolicy.LevelSkip.Name {
			return "nobody: the trust policy skips the verification", nil
		}
		if content := outcome.EnvelopeContent; content != nil && len(content.SignerInfo.CertificateChain) > 0 {
			return content.SignerInfo.CertificateChain[0].Subject.String(), nil
		}
	}
	return "notation", nil
}

// trusted is a trust store that has the same certificates under all names.
type trusted []*x509.Certificate

func (n Notary) certificates() (trusted, error) {
	var all trusted
	for _, content := range n.Certificates {
		for {
			var block *pem.Block
			if block, content = pem.Decode(content); block == nil {
				break
			}
			one, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, errors.New("reading the trusted certificates: one is no certificate in PEM")
			}
			all = append(all, one)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("reading the trusted certificates: there is none, in no key that ends in .crt or .pem")
	}
	return all, nil
}

// GetCertificates implements truststore.X509TrustStore.
func (t trusted) GetCertificates(_ context.Context, _ truststore.Type, _ string) ([]*x509.Certificate, error) {
	return t, nil
}

// shelf is an artifact with its signatures, as notation reads it.
type shelf struct{ found oci.Found }

// Resolve implements registry.Repository.
func (s shelf) Resolve(ctx context.Context, _ string) (ocispec.Descriptor, error) {
	described, err := s.found.Describe(ctx)
	return descriptor(described), err
}

// ListSignatures implements registry.Repository.
func (s shelf) ListSignatures(ctx context.Context, _ ocispec.Descriptor, each func([]ocispec.Descriptor) error) error {
	all, err := s.found.Referring(ctx, notationType)
	if err != nil || len(all) == 0 {
		return err
	}
	var found []ocispec.Descriptor
	for _, one := range all[:min(len(all), maxSignatures)] {
		found = append(found, descriptor(one))
	}
	return each(found)
}

// FetchSignatureBlob implements registry.Repository.
func (s shelf) FetchSignatureBlob(ctx context.Context, manifest ocispec.Descriptor) ([]byte, ocispec.Descriptor, error) {
	digest, err := v1.NewHash(manifest.Digest.String())
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	content, err := s.found.Manifest(ctx, digest)
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	if len(content.Layers) != 1 {
		return nil, ocispec.Descriptor{}, fmt.Errorf("signature %s has %d layers, and not one", digest, len(content.Layers))
	}
	blob, err := s.found.Blob(ctx, content.Layers[0], maxBundle)
	return blob, descriptor(content.Layers[0]), err
}

// PushSignature implements registry.Repository. Nothing is signed here.
func (s shelf) PushSignature(context.Context, string, []byte, ocispec.Descriptor, map[string]string) (blob, manifest ocispec.Descriptor, err error) {
	return blob, manifest, errors.New("signing is not what this is for")
}

func descriptor(d v1.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: string(types.MediaType(d.MediaType)), Digest: digest.Digest(d.Digest.String()), Size: d.Size,
		Annotations: d.Annotations, ArtifactType: d.ArtifactType,
	}
}
