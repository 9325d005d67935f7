package kms

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/getsops/sops/v3/keyservice"
	"sigs.k8s.io/yaml"
)

// azureAccount is a service principal, as Flux or the az command write it down.
type azureAccount struct {
	TenantID     string `json:"tenantId"`
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
	Certificate  string `json:"clientCertificate"`
	CertPassword string `json:"clientCertificatePassword"`
	SendChain    bool   `json:"clientCertificateSendChain"`
	Authority    string `json:"authorityHost"`

	Tenant   string `json:"tenant"`
	AppID    string `json:"appId"`
	Password string `json:"password"`
}

// SetAzure reads credentials for Azure.
func (c *Credentials) SetAzure(text []byte) error {
	held := &azureAccount{}
	if err := yaml.Unmarshal(text, held); err != nil {
		return errors.New("it is no YAML")
	}
	if held.AppID != "" && held.ClientID == "" {
		held.TenantID, held.ClientID, held.ClientSecret = held.Tenant, held.AppID, held.Password
	}
	switch {
	case held.TenantID == "" || held.ClientID == "":
		return errors.New("it wants the fields tenantId and clientId (managed identities are not served)")
	case held.ClientSecret == "" && held.Certificate == "":
		return errors.New("it wants a clientSecret or a clientCertificate")
	}
	c.azure = held
	return nil
}

// credential proves who we are to Azure.
func (a *azureAccount) credential(client *http.Client, standIn bool) (azcore.TokenCredential, error) {
	options := policy.ClientOptions{Transport: client}
	if a.Authority != "" {
		options.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: a.Authority}
	}
	if a.Certificate != "" {
		certificates, key, err := azidentity.ParseCertificates([]byte(a.Certificate), []byte(a.CertPassword))
		if err != nil {
			return nil, errors.New("the certificate for Azure cannot be read")
		}
		return azidentity.NewClientCertificateCredential(a.TenantID, a.ClientID, certificates, key, &azidentity.ClientCertificateCredentialOptions{
			ClientOptions: options, SendCertificateChain: a.SendChain, DisableInstanceDiscovery: standIn,
		})
	}
	return azidentity.NewClientSecretCredential(a.TenantID, a.ClientID, a.ClientSecret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: options, DisableInstanceDiscovery: standIn,
	})
}

func (c *Credentials) askAzure(ctx context.Context, reach Reach, key *keyservice.AzureKeyVaultKey, ciphertext []byte) ([]byte, error) {
	address, err := url.Parse(key.GetVaultUrl())
	if err != nil || address.Scheme != "https" || address.User != nil {
		return nil, errors.New("the address of its Azure Key Vault is invalid")
	}
	blob, err := base64.RawURLEncoding.DecodeString(string(ciphertext))
	if err != nil {
		return nil, errors.New("its data key for Azure Key Vault is damaged: restore the file from the history")
	}
	transport := reach.cloudClient("")
	credential, err := c.microsoft(ctx, reach, address)
	if err != nil {
		return nil, err
	}
	client, err := azkeys.NewClient(key.GetVaultUrl(), credential, &azkeys.ClientOptions{
		ClientOptions: policy.ClientOptions{Transport: transport}, DisableChallengeResourceVerification: reach.Client != nil,
	})
	if err != nil {
		return nil, errors.New("the address of its Azure Key Vault is invalid")
	}
	algorithm := azkeys.EncryptionAlgorithmRSAOAEP256
	answer, err := client.Decrypt(ctx, key.GetName(), key.GetVersion(), azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: blob}, nil)
	if err != nil {
		return nil, azureError(scrub(key.GetVaultUrl()), err)
	}
	return answer.Result, nil
}

func azureError(about string, err error) error {
	var told *azcore.ResponseError
	var denied *azidentity.AuthenticationFailedError
	switch {
	case errors.As(err, &denied):
		return errors.New("Azure refuses the credentials for " + about)
	case !errors.As(err, &told):
		return unavailable("Azure Key Vault", err)
	case told.StatusCode == http.StatusTooManyRequests, told.StatusCode >= http.StatusInternalServerError:
		return fmt.Errorf("%w: Azure Key Vault answers with status %d", ErrUnavailable, told.StatusCode)
	default:
		return fmt.Errorf("Azure Key Vault %s refuses with status %d (%s)", about, told.StatusCode, told.ErrorCode) //nolint:staticcheck // Azure is a name
	}
}
