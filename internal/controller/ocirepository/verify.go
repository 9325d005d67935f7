package ocirepository

import (
	"context"
	"errors"
	"fmt"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"

	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/stage/source/oci"
	"holdfast.dev/holdfast/internal/stage/source/oci/signature"
)

// verify checks the signature that the spec asks for, and tells whose it is. All but a provider that there is
// not is worth a retry: keys may change, and an artifact may be signed after it is pushed.
func (c *Controller) verify(ctx context.Context, object *sourcev1.OCIRepository, found oci.Found) (signer string, err error) {
	wanted, provider := object.Spec.Verify, object.Spec.Verify.Provider
	switch {
	case provider == "notation":
		signer, err = c.verifyNotation(ctx, object, found)
	case provider == "cosign" && wanted.SecretRef != nil:
		signer, err = c.verifyKeys(ctx, object, found)
	case provider == "cosign":
		provider = "cosign keyless"
		signer, err = c.verifyIdentities(ctx, object, found)
	default:
		return "", fault.Stall(sourcev1.VerificationError, fmt.Errorf("verifying the signature: provider %q is none of cosign, notation", provider))
	}
	if err != nil {
		return "", fmt.Errorf("verifying the signature using provider '%s': %w", provider, err)
	}
	return signer, nil
}

func (c *Controller) verifyKeys(ctx context.Context, object *sourcev1.OCIRepository, found oci.Found) (string, error) {
	secret, err := source.Secret(ctx, c.Secrets, object.Namespace, object.Spec.Verify.SecretRef.Name)
	if err != nil {
		return "", err
	}
	keys := map[string][]byte{}
	for name, content := range secret.Data {
		if strings.HasSuffix(name, ".pub") {
			keys[name] = content
		}
	}
	if len(keys) == 0 {
		return "", fmt.Errorf("secret %s/%s has no key that ends in .pub", secret.Namespace, secret.Name)
	}
	return signature.Cosign(ctx, found, signature.Trust{Keys: keys})
}

func (c *Controller) verifyIdentities(ctx context.Context, object *sourcev1.OCIRepository, found oci.Found) (string, error) {
	var trust signature.Trust
	for _, match := range object.Spec.Verify.MatchOIDCIdentity {
		trust.Identities = append(trust.Identities, signature.Identity{Issuer: match.Issuer, Subject: match.Subject})
	}
	if ref := object.Spec.Verify.TrustedRootSecretRef; ref != nil {
		secret, err := source.Secret(ctx, c.Secrets, object.Namespace, ref.Name)
		if err != nil {
			return "", err
		}
		if trust.Root = secret.Data["trusted_root.json"]; len(trust.Root) == 0 {
			return "", fmt.Errorf("secret %s/%s: key trusted_root.json is missing", secret.Namespace, secret.Name)
		}
	}
	return signature.Cosign(ctx, found, trust)
}

func (c *Controller) verifyNotation(ctx context.Context, object *sourcev1.OCIRepository, found oci.Found) (string, error) {
	ref := object.Spec.Verify.SecretRef
	if ref == nil {
		return "", fault.Stall(sourcev1.VerificationError, errors.New("spec.verify.secretRef has to name the Secret with trustpolicy.json and the certificates"))
	}
	secret, err := source.Secret(ctx, c.Secrets, object.Namespace, ref.Name)
	if err != nil {
		return "", err
	}
	trust, err := notaryOf(secret)
	if err != nil {
		return "", err
	}
	return signature.Notation(ctx, found, trust)
}

func notaryOf(secret *corev1.Secret) (signature.Notary, error) {
	trust := signature.Notary{Policy: secret.Data["trustpolicy.json"]}
	if len(trust.Policy) == 0 {
		return trust, fmt.Errorf("secret %s/%s: key trustpolicy.json is missing", secret.Namespace, secret.Name)
	}
	for name, content := range secret.Data {
		if strings.HasSuffix(name, ".crt") || strings.HasSuffix(name, ".pem") {
			trust.Certificates = append(trust.Certificates, content)
		}
	}
	return trust, nil
}
