package signature_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/notaryproject/notation-go"
	notaryregistry "github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"google.golang.org/protobuf/encoding/protojson"
	orasremote "oras.land/oras-go/v2/registry/remote"

	"holdfast.dev/holdfast/internal/stage/source/oci"
	"holdfast.dev/holdfast/internal/stage/source/oci/registrytest"
	"holdfast.dev/holdfast/internal/stage/source/oci/signature"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// artifact pushes something and finds it.
func artifact(t *testing.T, server *registrytest.Server, content string) oci.Found {
	t.Helper()
	server.Push(t, "team/app", "latest", registrytest.Artifact{Files: map[string]string{"a": content}})
	dir := t.TempDir()
	fetcher := oci.New(oci.Options{Scratch: func() (*os.File, error) { return os.CreateTemp(dir, "") }})
	found, err := fetcher.Resolve(t.Context(), oci.Request{URL: server.URL("team/app")})
	check(t, err)
	return found
}

func TestCosignWithKeys(t *testing.T) {
	server := registrytest.Serve(t, registrytest.Options{})
	trusted, stranger := registrytest.NewKey(t), registrytest.NewKey(t)
	found, other := artifact(t, server, "1"), artifact(t, server, "2")
	broken := registrytest.Signature(registrytest.Payload(found.Digest), map[string]string{"dev.cosignproject.cosign/signature": "%"})
	var many []mutate.Addendum
	for range 32 {
		many = append(many, stranger.Sign(t, registrytest.Payload(found.Digest)))
	}
	cases := map[string]struct {
		why  string
		with []mutate.Addendum
		err  string
	}{
		"Good":      {"signed with a key that is trusted", []mutate.Addendum{trusted.Sign(t, registrytest.Payload(found.Digest))}, ""},
		"OneOfMany": {"others may sign, too", []mutate.Addendum{stranger.Sign(t, registrytest.Payload(found.Digest)), broken, trusted.Sign(t, registrytest.Payload(found.Digest))}, ""},
		"Stranger":  {"signed by somebody else", []mutate.Addendum{stranger.Sign(t, registrytest.Payload(found.Digest))}, "not of a key that is trusted"},
		"Moved":     {"a signature of another artifact is none of this one", []mutate.Addendum{trusted.Sign(t, registrytest.Payload(other.Digest))}, "about another artifact"},
		"Forged":    {"the payload is not what was signed", []mutate.Addendum{registrytest.Signature(registrytest.Payload(found.Digest), trusted.Sign(t, registrytest.Payload(other.Digest)).Annotations)}, "not of a key"},
		"Broken":    {"no signature at all", []mutate.Addendum{broken}, "no base64"},
		"TooLarge":  {"is never read to its end", []mutate.Addendum{trusted.Sign(t, bytes.Repeat([]byte(" "), 1<<17))}, "more than the 65536"},
		"TooMany":   {"somebody floods the artifact", append(many, trusted.Sign(t, registrytest.Payload(found.Digest))), "not of a key"},
	}
	trust := signature.Trust{Keys: map[string][]byte{"cosign.pub": trusted.Public}}
	if _, err := signature.Cosign(t.Context(), found, trust); err == nil || !strings.Contains(err.Error(), "no signature") {
		t.Errorf("an artifact without one gives %v", err)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			server.Attach(t, "team/app", found.Digest, c.with...)
			signer, err := signature.Cosign(t.Context(), found, trust)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("%s: error is %v, want %q", c.why, err, c.err)
			}
			if err == nil && !strings.HasPrefix(signer, "key SHA256:") {
				t.Errorf("signer is %q", signer)
			}
		})
	}
}

// keyless signs as cosign does without a key, with a Sigstore of the test.
func keyless(t *testing.T, virtual *ca.VirtualSigstore, subject string, content []byte) map[string]string {
	t.Helper()
	entity, err := virtual.SignAtTimeWithVersion(subject, "https://issuer.example.com", content, time.Now().Add(time.Minute), "v0.1")
	check(t, err)
	verification, err := entity.VerificationContent()
	check(t, err)
	signed, err := entity.SignatureContent()
	check(t, err)
	entries, err := entity.TlogEntries()
	check(t, err)
	entry := entries[0].TransparencyLogEntry()
	payload := tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(entry.GetCanonicalizedBody()), IntegratedTime: entry.GetIntegratedTime(),
		LogIndex: entry.GetLogIndex(), LogID: hex.EncodeToString(entry.GetLogId().GetKeyId()),
	}
	stamp, err := virtual.RekorSignPayload(payload)
	check(t, err)
	kept, err := json.Marshal(map[string]any{"SignedEntryTimestamp": stamp, "Payload": payload})
	check(t, err)
	certificate, err := cryptoutils.MarshalCertificateToPEM(verification.Certificate())
	check(t, err)
	return map[string]string{
		"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signed.Signature()),
		"dev.sigstore.cosign/certificate":    string(certificate),
		"dev.sigstore.cosign/bundle":         string(kept),
	}
}

func rootOf(t *testing.T, virtual *ca.VirtualSigstore) []byte {
	t.Helper()
	var authorities []root.CertificateAuthority
	for _, one := range virtual.FulcioCertificateAuthorities() {
		authorities = append(authorities, one)
	}
	logs := virtual.RekorLogs()
	for id, log := range logs { // the library's own identifiers are not those that it writes
		var err error
		log.ID, err = hex.DecodeString(id)
		check(t, err)
	}
	made, err := root.NewTrustedRoot(root.TrustedRootMediaType01, authorities, nil, nil, logs)
	check(t, err)
	content, err := made.MarshalJSON()
	check(t, err)
	return content
}

func TestCosignWithoutKeys(t *testing.T) {
	server := registrytest.Serve(t, registrytest.Options{})
	virtual, err := ca.NewVirtualSigstore()
	check(t, err)
	stranger, err := ca.NewVirtualSigstore()
	check(t, err)
	found, other := artifact(t, server, "1"), artifact(t, server, "2")
	identity := []signature.Identity{{Issuer: "^https://issuer.example.com$", Subject: "^me@example.com$"}}
	good := keyless(t, virtual, "me@example.com", registrytest.Payload(found.Digest))
	without := func(key string) map[string]string {
		left := map[string]string{}
		for name, value := range good {
			if name != key {
				left[name] = value
			}
		}
		return left
	}
	cases := map[string]struct {
		why         string
		annotations map[string]string
		payload     []byte
		trust       signature.Trust
		err         string
	}{
		"Good":       {"the one who may sign", good, registrytest.Payload(found.Digest), signature.Trust{Identities: identity, Root: rootOf(t, virtual)}, ""},
		"Anybody":    {"without a matcher anybody could have signed", good, registrytest.Payload(found.Digest), signature.Trust{Root: rootOf(t, virtual)}, "anybody"},
		"NoRoot":     {"what is trusted is given", good, registrytest.Payload(found.Digest), signature.Trust{Identities: identity}, "trustedRootSecretRef"},
		"BadRoot":    {"no root", good, registrytest.Payload(found.Digest), signature.Trust{Identities: identity, Root: []byte("{")}, "no trust root"},
		"OtherRoot":  {"another Sigstore knows another me", good, registrytest.Payload(found.Digest), signature.Trust{Identities: identity, Root: rootOf(t, stranger)}, "does not verify"},
		"OtherName":  {"somebody else signed", keyless(t, virtual, "you@example.com", registrytest.Payload(found.Digest)), registrytest.Payload(found.Digest), signature.Trust{Identities: identity, Root: rootOf(t, virtual)}, "does not verify"},
		"Moved":      {"a signature of another artifact", keyless(t, virtual, "me@example.com", registrytest.Payload(other.Digest)), registrytest.Payload(other.Digest), signature.Trust{Identities: identity, Root: rootOf(t, virtual)}, "another artifact"},
		"Forged":     {"the payload is not what was signed", good, append(registrytest.Payload(found.Digest), '\n'), signature.Trust{Identities: identity, Root: rootOf(t, virtual)}, "does not verify"},
		"NoLog":      {"nobody saw it in time", without("dev.sigstore.cosign/bundle"), registrytest.Payload(found.Digest), signature.Trust{Identities: identity, Root: rootOf(t, virtual)}, "does not verify"},
		"NoIdentity": {"no certificate", without("dev.sigstore.cosign/certificate"), registrytest.Payload(found.Digest), signature.Trust{Identities: identity, Root: rootOf(t, virtual)}, "no certificate"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			server.Attach(t, "team/app", found.Digest, registrytest.Signature(c.payload, c.annotations))
			signer, err := signature.Cosign(t.Context(), found, c.trust)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("%s: error is %v, want %q", c.why, err, c.err)
			}
			if err == nil && signer != "me@example.com by https://issuer.example.com" {
				t.Errorf("signer is %q", signer)
			}
		})
	}
}

// authority makes a certificate that signs for itself, and its key.
func authority(t *testing.T, name string) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}, Country: []string{"DE"}, Province: []string{"B"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		BasicConstraintsValid: true,
	}, &x509.Certificate{Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}, Country: []string{"DE"}, Province: []string{"B"}}}, private.Public(), private)
	check(t, err)
	certificate, err := x509.ParseCertificate(der)
	check(t, err)
	return private, certificate
}

func TestNotation(t *testing.T) {
	server := registrytest.Serve(t, registrytest.Options{})
	found := artifact(t, server, "1")
	private, certificate := authority(t, "signer")
	_, stranger := authority(t, "stranger")
	inPEM := func(c *x509.Certificate) [][]byte {
		return [][]byte{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})}
	}
	policy := []byte(`{"version":"1.0","trustPolicies":[{"name":"all","registryScopes":["*"],"signatureVerification":{"level":"strict"},"trustStores":["ca:any"],"trustedIdentities":["*"]}]}`)
	trust := signature.Notary{Policy: policy, Certificates: inPEM(certificate)}
	if _, err := signature.Notation(t.Context(), found, trust); err == nil || !strings.Contains(err.Error(), "no matching signatures") {
		t.Errorf("an artifact without a signature gives %v", err)
	}
	repository, err := orasremote.NewRepository(server.Host + "/team/app")
	check(t, err)
	repository.PlainHTTP = true
	made, err := signer.New(private, []*x509.Certificate{certificate})
	check(t, err)
	_, err = notation.Sign(t.Context(), made, notaryregistry.NewRepository(repository), notation.SignOptions{
		SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: "application/jose+json"},
		ArtifactReference: found.Name(),
	})
	check(t, err)
	cases := map[string]struct {
		why   string
		trust signature.Notary
		want  string // of the signer
		err   string
	}{
		"Good":     {"signed by an authority that is trusted", trust, "CN=signer,O=Example,ST=B,C=DE", ""},
		"Stranger": {"signed by another one", signature.Notary{Policy: policy, Certificates: inPEM(stranger)}, "", "no matching signatures"},
		"Scope":    {"the policy is for another registry", signature.Notary{Policy: bytes.Replace(policy, []byte(`"*"]`), []byte(`"registry.example.com/app"]`), 1), Certificates: inPEM(certificate)}, "", "no applicable trust policy"},
		"Policy":   {"no policy", signature.Notary{Policy: []byte("{"), Certificates: inPEM(certificate)}, "", "trustpolicy.json"},
		"NoTrust":  {"nobody is trusted", signature.Notary{Policy: policy}, "", "there is none"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			who, err := signature.Notation(t.Context(), found, c.trust)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("%s: error is %v, want %q", c.why, err, c.err)
			}
			if who != c.want {
				t.Errorf("%s: signer is %q, want %q", c.why, who, c.want)
			}
		})
	}
}

// bundled signs a statement as cosign's newer form does, and lets it refer to the artifact.
func bundled(t *testing.T, server *registrytest.Server, found oci.Found, digest, predicate string) []byte {
	t.Helper()
	pair, err := sign.NewEphemeralKeypair(nil)
	check(t, err)
	statement := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],"predicateType":%q,"predicate":{}}`,
		strings.TrimPrefix(digest, "sha256:"), predicate)
	made, err := sign.Bundle(&sign.DSSEData{Data: []byte(statement), PayloadType: "application/vnd.in-toto+json"}, pair, sign.BundleOptions{Context: t.Context()})
	check(t, err)
	content, err := protojson.Marshal(made)
	check(t, err)
	public, err := pair.GetPublicKeyPem()
	check(t, err)
	const kind = "application/vnd.dev.sigstore.bundle.v0.3+json"
	image, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), kind), mutate.Addendum{Layer: static.NewLayer(content, kind)})
	check(t, err)
	subject, err := found.Describe(t.Context())
	check(t, err)
	referring := mutate.Subject(image, subject).(v1.Image)
	name, err := referring.Digest()
	check(t, err)
	check(t, remote.Write(server.Reference(t, "team/app", name.String()), referring, server.Remote()...))
	return []byte(public)
}

func TestCosignBundles(t *testing.T) {
	const signed = "https://sigstore.dev/cosign/sign/v1"
	cases := map[string]struct {
		why, predicate string
		other          bool
		err            string
	}{
		"Good":       {"a signature", signed, false, ""},
		"Provenance": {"how it was built is no word on whether it may be used", "https://slsa.dev/provenance/v1", false, "no signature"},
		"Moved":      {"a signature of another artifact", signed, true, "not of a key"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			server := registrytest.Serve(t, registrytest.Options{})
			found := artifact(t, server, name)
			about := found.Digest
			if c.other {
				about = "sha256:" + strings.Repeat("0", 64)
			}
			public := bundled(t, server, found, about, c.predicate)
			_, err := signature.Cosign(t.Context(), found, signature.Trust{Keys: map[string][]byte{"cosign.pub": public}})
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error is %v, want %q", c.why, err, c.err)
			}
		})
	}
}
