package signature

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"time"
)

// identities are signers without keys that are trusted.
type identities struct {
	verifier *verify.Verifier
	trusted  []verify.PolicyOption
}

func newIdentities(trust Trust) (*identities, error) {
	if len(trust.Root) == 0 {
		return nil, errors.New("a signature without a key is verified with the trust root of a Sigstore: " +
			"put its trusted_root.json into a Secret and name it with spec.verify.trustedRootSecretRef")
	}
	if len(trust.Identities) == 0 {
		return nil, errors.New("spec.verify.matchOIDCIdentity is empty: anybody could have signed")
	}
	material, err := root.NewTrustedRootFromJSON(trust.Root)
	if err != nil {
		return nil, errors.New("reading the trust root: key trusted_root.json is no trust root of Sigstore")
	}
	i := &identities{}
	for _, one := range trust.Identities {
		identity, err := verify.NewShortCertificateIdentity("", one.Issuer, "", one.Subject)
		if err != nil {
			return nil, fmt.Errorf("reading spec.verify.matchOIDCIdentity: %w", err)
		}
		i.trusted = append(i.trusted, verify.WithCertificateIdentity(identity))
	}
	i.verifier, err = verify.NewVerifier(material, demands(material)...)
	return i, err
}

// demands asks of a signature whatever the trust root can prove.
func demands(material root.TrustedMaterial) []verify.VerifierOption {
	var all []verify.VerifierOption
	if len(material.CTLogs()) > 0 {
		all = append(all, verify.WithSignedCertificateTimestamps(1))
	}
	if len(material.RekorLogs()) > 0 {
		return append(all, verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	}
	return append(all, verify.WithSignedTimestamps(1))
}

func (i *identities) judge(digest string, one signed) (string, error) {
	entity, what, err := entityOf(digest, one)
	if err != nil {
		return "", err
	}
	result, err := i.verifier.Verify(entity, verify.NewPolicy(what, i.trusted...))
	if err != nil {
		return "", fmt.Errorf("a signature does not verify: %w", err)
	}
	if err := isSignature(result); err != nil {
		return "", err
	}
	if result.Signature == nil || result.Signature.Certificate == nil {
		return "", errors.New("a signature has no certificate")
	}
	return result.Signature.Certificate.SubjectAlternativeName + " by " + result.Signature.Certificate.Issuer, nil
}

// isSignature refuses statements about an artifact that do not say that it is to be used.
func isSignature(result *verify.VerificationResult) error {
	if result.Statement != nil && result.Statement.GetPredicateType() != predicateSign {
		return errors.New("a bundle is a statement, and no signature")
	}
	return nil
}

// entityOf reads a signature in either form, and says what it has to be about.
func entityOf(digest string, one signed) (*bundle.Bundle, verify.ArtifactPolicyOption, error) {
	if one.bundle != nil {
		entity, err := parseBundle(one.bundle)
		if err != nil {
			return nil, nil, err
		}
		what, err := aboutDigest(digest)
		return entity, what, err
	}
	if err := one.check(digest); err != nil {
		return nil, nil, err
	}
	entity, err := one.assemble()
	return entity, verify.WithArtifact(bytes.NewReader(one.payload)), err
}

func aboutDigest(digest string) (verify.ArtifactPolicyOption, error) {
	raw, err := hex.DecodeString(digest[len("sha256:"):])
	return verify.WithArtifactDigest("sha256", raw), err
}

func parseBundle(content []byte) (*bundle.Bundle, error) {
	var entity bundle.Bundle
	if err := entity.UnmarshalJSON(content); err != nil {
		return nil, errors.New("a signature's bundle cannot be read")
	}
	return &entity, nil
}

// assemble makes a bundle of what cosign keeps in annotations.
func (s signed) assemble() (*bundle.Bundle, error) {
	raw, err := s.raw()
	if err != nil {
		return nil, err
	}
	chain := certificates(s.annotations[certKey] + "\n" + s.annotations[chainKey])
	if len(chain) == 0 {
		return nil, errors.New("a signature has no certificate")
	}
	sum := sha256.Sum256(s.payload)
	material := &protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_X509CertificateChain{
		X509CertificateChain: &protocommon.X509CertificateChain{Certificates: chain[:1]},
	}}
	if text := s.annotations[logKey]; text != "" {
		entry, err := logEntry(text)
		if err != nil {
			return nil, err
		}
		material.TlogEntries = []*protorekor.TransparencyLogEntry{entry}
	}
	if text := s.annotations[timeKey]; text != "" {
		var stamp struct {
			SignedRFC3161Timestamp []byte
		}
		if err := json.Unmarshal([]byte(text), &stamp); err != nil {
			return nil, errors.New("a signature's timestamp cannot be read")
		}
		material.TimestampVerificationData = &protobundle.TimestampVerificationData{
			Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: stamp.SignedRFC3161Timestamp}},
		}
	}
	made, err := bundle.NewBundle(&protobundle.Bundle{
		MediaType:            "application/vnd.dev.sigstore.bundle+json;version=0.1",
		VerificationMaterial: material,
		Content: &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: sum[:]},
			Signature:     raw,
		}},
	})
	if err != nil {
		return nil, errors.New("a signature lacks what a signature without a key needs")
	}
	return made, nil
}

func certificates(text string) []*protocommon.X509Certificate {
	var chain []*protocommon.X509Certificate
	for rest := []byte(text); len(chain) < 10; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		chain = append(chain, &protocommon.X509Certificate{RawBytes: block.Bytes})
	}
	return chain
}

var errEntry = errors.New("a signature's entry of the transparency log cannot be read")

// logEntry reads the entry of the transparency log as cosign keeps it.
func logEntry(text string) (*protorekor.TransparencyLogEntry, error) {
	var kept struct {
		SignedEntryTimestamp []byte
		Payload              struct {
			Body           string `json:"body"`
			IntegratedTime int64  `json:"integratedTime"`
			LogIndex       int64  `json:"logIndex"`
			LogID          string `json:"logID"`
		}
	}
	if err := json.Unmarshal([]byte(text), &kept); err != nil {
		return nil, errEntry
	}
	body, err := base64.StdEncoding.DecodeString(kept.Payload.Body)
	if err != nil {
		return nil, errEntry
	}
	id, err := hex.DecodeString(kept.Payload.LogID)
	if err != nil {
		return nil, errEntry
	}
	var kind struct {
		Kind    string `json:"kind"`
		Version string `json:"apiVersion"`
	}
	if err := json.Unmarshal(body, &kind); err != nil {
		return nil, errEntry
	}
	return &protorekor.TransparencyLogEntry{
		LogIndex: kept.Payload.LogIndex, LogId: &protocommon.LogId{KeyId: id},
		KindVersion:    &protorekor.KindVersion{Kind: kind.Kind, Version: kind.Version},
		IntegratedTime: kept.Payload.IntegratedTime, CanonicalizedBody: body,
		InclusionPromise: &protorekor.InclusionPromise{SignedEntryTimestamp: kept.SignedEntryTimestamp},
	}, nil
}

// judgeBundle verifies a bundle with keys. The key says who it was, so no log has to.
func (k keys) judgeBundle(digest string, content []byte) (string, error) {
	entity, err := parseBundle(content)
	if err != nil {
		return "", err
	}
	what, err := aboutDigest(digest)
	if err != nil {
		return "", err
	}
	for _, candidate := range k {
		material := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
			return always{candidate.verifier}, nil
		})
		verifier, err := verify.NewVerifier(material, verify.WithNoObserverTimestamps())
		if err != nil {
			return "", err
		}
		if result, err := verifier.Verify(entity, verify.NewPolicy(what, verify.WithKey())); err == nil {
			return candidate.name, isSignature(result)
		}
	}
	return "", errors.New("a bundle is not of a key that is trusted")
}

// always is a key without a time of its own.
type always struct{ signature.Verifier }

func (always) ValidAtTime(time.Time) bool { return true }
