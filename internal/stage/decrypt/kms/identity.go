package kms

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/aws/aws-sdk-go-v2/aws"

	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/model/redact"
)

// SetIdentity lets services be asked as somebody, where there are no credentials of the unit's own.
func (c *Credentials) SetIdentity(holder identity.Holder) { c.holder = holder }

// proof is an error of an identity in the words of this package.
func proof(err error) error {
	if errors.Is(err, identity.ErrUnavailable) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// lacking says what credentials a service wants, and how else it can be asked.
func (c *Credentials) lacking(what string) error {
	return fmt.Errorf("%w: %s, or a ServiceAccount in spec.decryption.serviceAccountName that may use the key", ErrNoCredentials, what)
}

// amazon returns credentials for AWS in a region.
func (c *Credentials) amazon(ctx context.Context, region string) (aws.CredentialsProvider, error) {
	switch {
	case c.aws != nil:
		return c.aws, nil
	case !c.holder.Known():
		return nil, c.lacking("access to AWS KMS, as the key \"sops.aws-kms\"")
	}
	keys, err := c.holder.AWS(ctx, region)
	if err != nil {
		return nil, proof(err)
	}
	return &awsAccount{aws.Credentials{
		AccessKeyID: keys.ID, SecretAccessKey: keys.Secret.Reveal(), SessionToken: keys.Session.Reveal(), Source: "identity",
	}}, nil
}

// vaultScopes are those that tokens for key vaults are asked for, by the domain of the vault. A token goes
// to no other: a file names its vault.
var vaultScopes = map[string]string{
	".vault.azure.net":              "https://vault.azure.net/.default",
	".managedhsm.azure.net":         "https://managedhsm.azure.net/.default",
	".vault.azure.cn":               "https://vault.azure.cn/.default",
	".managedhsm.azure.cn":          "https://managedhsm.azure.cn/.default",
	".vault.usgovcloudapi.net":      "https://vault.usgovcloudapi.net/.default",
	".managedhsm.usgovcloudapi.net": "https://managedhsm.usgovcloudapi.net/.default",
	".vault.microsoftazure.de":      "https://vault.microsoftazure.de/.default",
	".managedhsm.microsoftazure.de": "https://managedhsm.microsoftazure.de/.default",
}

// microsoft returns what proves to a key vault who asks.
func (c *Credentials) microsoft(ctx context.Context, reach Reach, vault *url.URL) (azcore.TokenCredential, error) {
	switch {
	case c.azure != nil:
		made, err := c.azure.credential(reach.cloudClient(""), reach.Client != nil)
		if err != nil {
			return nil, errors.New("the credentials for Azure are invalid")
		}
		return made, nil
	case !c.holder.Known():
		return nil, c.lacking("access to Azure Key Vault, as the key \"sops.azure-kv\"")
	}
	scope := ""
	for domain, one := range vaultScopes {
		if strings.HasSuffix(strings.ToLower(vault.Hostname()), domain) || reach.Client != nil && domain == ".vault.azure.net" {
			scope = one
		}
	}
	if scope == "" {
		return nil, errors.New("its Azure Key Vault is at an address that is none of Azure's: a token of an identity is not sent there")
	}
	token, err := c.holder.Azure(ctx, scope)
	if err != nil {
		return nil, proof(err)
	}
	return azureToken(token), nil
}

// azureToken is a token that is there already.
type azureToken identity.Token

// GetToken implements azcore.TokenCredential. What a vault says it wants is not heeded.
func (t azureToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: t.Value.Reveal(), ExpiresOn: t.Expires}, nil
}

// logins are the tokens that Vaults gave an identity.
type logins struct {
	turn chan struct{} // holds one value while somebody uses the rest
	all  map[string]login
}

type login struct {
	token redact.Text
	until time.Time
}

// forget drops the token of a Vault, which it does not take any more.
func (l *logins) forget(address string) {
	if l == nil {
		return
	}
	l.turn <- struct{}{}
	delete(l.all, address)
	<-l.turn
}
