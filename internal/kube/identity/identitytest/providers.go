package identitytest

import (
	"context"
	"net/http"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/containers/azcontainerregistry"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice"
	"github.com/aws/aws-sdk-go-v2/aws"
	signerv4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/fluxcd/pkg/auth/azure"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google/externalaccount"
	"google.golang.org/api/container/v1"
	"google.golang.org/api/option"
)

// forHost tells Cloud which host a request was for.
const forHost = "X-For-Host"

// everywhere sends all requests to Cloud.
func (w *World) everywhere() *http.Client {
	return &http.Client{Transport: detour{w}}
}

type detour struct{ world *World }

func (d detour) RoundTrip(r *http.Request) (*http.Response, error) {
	target, err := url.Parse(d.world.Cloud.URL)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set(forHost, r.URL.Host)
	r.URL.Host, r.Host = target.Host, ""
	return d.world.Cloud.Client().Transport.RoundTrip(r)
}

type amazon struct{ *World }

// LoadDefaultConfig stands for the identity of our own pod.
func (amazon) LoadDefaultConfig(context.Context, ...func(*config.LoadOptions) error) (aws.Config, error) {
	return aws.Config{Credentials: credentials.NewStaticCredentialsProvider("AKIAown", "secret-"+Canary, "")}, nil
}

func (a amazon) AssumeRoleWithWebIdentity(ctx context.Context, params *sts.AssumeRoleWithWebIdentityInput, options sts.Options) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	options.BaseEndpoint, options.HTTPClient, options.RetryMaxAttempts = &a.Cloud.URL, a.Cloud.Client(), 1
	return sts.New(options).AssumeRoleWithWebIdentity(ctx, params)
}

func (a amazon) GetAuthorizationToken(ctx context.Context, cfg aws.Config) (any, error) {
	cfg.BaseEndpoint, cfg.HTTPClient, cfg.RetryMaxAttempts = &a.Cloud.URL, a.Cloud.Client(), 1
	return ecr.NewFromConfig(cfg).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
}

func (a amazon) GetPublicAuthorizationToken(ctx context.Context, cfg aws.Config) (any, error) {
	cfg.BaseEndpoint, cfg.HTTPClient, cfg.RetryMaxAttempts = &a.Cloud.URL, a.Cloud.Client(), 1
	return ecrpublic.NewFromConfig(cfg).GetAuthorizationToken(ctx, &ecrpublic.GetAuthorizationTokenInput{})
}

func (a amazon) DescribeCluster(ctx context.Context, params *eks.DescribeClusterInput, options eks.Options) (*eks.DescribeClusterOutput, error) {
	options.BaseEndpoint, options.HTTPClient, options.RetryMaxAttempts = &a.Cloud.URL, a.Cloud.Client(), 1
	return eks.New(options).DescribeCluster(ctx, params)
}

func (amazon) PresignGetCallerIdentity(ctx context.Context, adjust func(*sts.PresignOptions), options sts.Options) (*signerv4.PresignedHTTPRequest, error) {
	return sts.NewPresignClient(sts.New(options)).PresignGetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}, adjust)
}

type microsoft struct{ *World }

func (microsoft) NewDefaultAzureCredential(*azidentity.DefaultAzureCredentialOptions) (azcore.TokenCredential, error) {
	panic("a process would be started")
}

func (microsoft) NewDefaultAzureCredentialWithoutShellOut(*azidentity.DefaultAzureCredentialOptions) (azcore.TokenCredential, error) {
	return azidentity.NewClientSecretCredential(Tenant, "own", Canary, nil)
}

func (m microsoft) NewClientAssertionCredential(tenant, client string, assert func(context.Context) (string, error), options *azidentity.ClientAssertionCredentialOptions) (azcore.TokenCredential, error) {
	options.Transport, options.DisableInstanceDiscovery = m.Cloud.Client(), true
	options.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: m.Cloud.URL}
	options.Retry.MaxRetries = -1
	return azidentity.NewClientAssertionCredential(tenant, client, assert, options)
}

func (m microsoft) ExchangeAADAccessTokenForACRRefreshToken(ctx context.Context, _ *azcontainerregistry.AuthenticationClient, grant azcontainerregistry.PostContentSchemaGrantType, service string, options *azcontainerregistry.AuthenticationClientExchangeAADAccessTokenForACRRefreshTokenOptions) (azcontainerregistry.AuthenticationClientExchangeAADAccessTokenForACRRefreshTokenResponse, error) {
	settings := &azcontainerregistry.AuthenticationClientOptions{}
	settings.Transport, settings.Retry.MaxRetries = m.everywhere(), -1
	client, err := azcontainerregistry.NewAuthenticationClient("https://"+service, settings)
	if err != nil {
		return azcontainerregistry.AuthenticationClientExchangeAADAccessTokenForACRRefreshTokenResponse{}, err
	}
	return client.ExchangeAADAccessTokenForACRRefreshToken(ctx, grant, service, options)
}

func (m microsoft) NewManagedClustersClient(subscription string, credential azcore.TokenCredential, options *arm.ClientOptions) (azure.AKSClient, error) {
	options.Transport, options.Retry.MaxRetries = m.everywhere(), -1
	return armcontainerservice.NewManagedClustersClient(subscription, credential, options)
}

type google struct{ *World }

// DefaultTokenSource stands for the identity of our own pod.
func (google) DefaultTokenSource(context.Context, ...string) (oauth2.TokenSource, error) {
	return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "google of own"}), nil
}

func (g google) NewTokenSource(ctx context.Context, conf externalaccount.Config) (oauth2.TokenSource, error) {
	conf.TokenURL, conf.TokenInfoURL = g.Cloud.URL+"/google/token", ""
	return externalaccount.NewTokenSource(context.WithValue(ctx, oauth2.HTTPClient, g.Cloud.Client()), conf)
}

func (g google) GetCluster(ctx context.Context, cluster string, _ *container.Service) (*container.Cluster, error) {
	client, err := container.NewService(ctx, option.WithHTTPClient(g.Cloud.Client()))
	if err != nil {
		return nil, err
	}
	client.BasePath = g.Cloud.URL + "/google/"
	return client.Projects.Locations.Clusters.Get(cluster).Context(ctx).Do()
}
