package kms

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/getsops/sops/v3/keyservice"

	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/model/redact"
)

// The kinds of failure. Any other error is a refusal by the service.
var (
	// ErrNoCredentials says that the unit has no credentials for a service.
	ErrNoCredentials = errors.New("it takes credentials")
	// ErrUnavailable says that a service could not be asked, which may pass.
	ErrUnavailable = errors.New("a key service could not be asked")
)

// patience bounds one question to a service, with all that the service's client tries again.
const patience = 20 * time.Second

// Credentials are those of one unit. The zero value has none. They are set before they are used, and not
// changed afterwards.
type Credentials struct {
	vault redact.Text
	aws   *awsAccount
	azure *azureAccount
	gcp   *gcpAccount
	// holder is who asks where there are no credentials.
	holder identity.Holder
	// vaults says where to log in with an identity, by the addresses of Vaults.
	vaults map[string]string
	logins *logins
}

// Empty tells whether there are no credentials.
func (c *Credentials) Empty() bool {
	return c.vault == "" && c.aws == nil && c.azure == nil && c.gcp == nil && !c.holder.Known()
}

// Names returns what there are credentials for, for messages.
func (c *Credentials) Names() []string {
	var names []string
	if c.vault != "" {
		names = append(names, "Vault")
	}
	if c.aws != nil {
		names = append(names, "AWS KMS")
	}
	if c.azure != nil {
		names = append(names, "Azure Key Vault")
	}
	if c.gcp != nil {
		names = append(names, "Google Cloud KMS")
	}
	return names
}

// Holder tells whose identity services are asked with where there are no credentials.
func (c *Credentials) Holder() identity.Holder {
	return c.holder
}

// Decrypt opens a data key.
func (c *Credentials) Decrypt(ctx context.Context, reach Reach, key *keyservice.Key, ciphertext []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch key := key.GetKeyType().(type) {
	case *keyservice.Key_VaultKey:
		return c.askVault(ctx, reach, key.VaultKey, ciphertext)
	case *keyservice.Key_KmsKey:
		return c.askAWS(ctx, reach, key.KmsKey, ciphertext)
	case *keyservice.Key_AzureKeyvaultKey:
		return c.askAzure(ctx, reach, key.AzureKeyvaultKey, ciphertext)
	case *keyservice.Key_GcpKmsKey:
		return c.askGCP(ctx, reach, key.GcpKmsKey, ciphertext)
	default:
		return nil, errors.New("its kind of key service is not served: encrypt the file for age, PGP, Vault, AWS, Azure or Google Cloud")
	}
}

// NameOf names a key as its owner knows it.
func NameOf(key *keyservice.Key) string {
	switch key := key.GetKeyType().(type) {
	case *keyservice.Key_AgeKey:
		return key.AgeKey.GetRecipient()
	case *keyservice.Key_PgpKey:
		return "PGP " + key.PgpKey.GetFingerprint()
	case *keyservice.Key_VaultKey:
		return vaultName(key.VaultKey)
	case *keyservice.Key_KmsKey:
		return key.KmsKey.GetArn()
	case *keyservice.Key_AzureKeyvaultKey:
		return scrub(key.AzureKeyvaultKey.GetVaultUrl()) + "/keys/" + key.AzureKeyvaultKey.GetName()
	case *keyservice.Key_GcpKmsKey:
		return key.GcpKmsKey.GetResourceId()
	case *keyservice.Key_HckmsKey:
		return "Huawei Cloud " + key.HckmsKey.GetKeyId()
	default:
		return "an unknown kind of key"
	}
}

// scrub takes out of an address what may be a secret.
func scrub(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return "an invalid address"
	}
	return strings.TrimSuffix((&url.URL{Scheme: parsed.Scheme, Host: parsed.Host, Path: parsed.Path}).String(), "/")
}

func unavailable(service string, err error) error {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, errForbidden):
		return fmt.Errorf("%s: %w", service, errForbidden)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%w: %s did not answer in time", ErrUnavailable, service)
	default:
		return fmt.Errorf("%w: there is no connection to %s", ErrUnavailable, service)
	}
}
