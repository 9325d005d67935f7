package identity

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/auth/aws"
	"github.com/fluxcd/pkg/auth/azure"
	"github.com/fluxcd/pkg/auth/gcp"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/redact"
)

// Keys are credentials of AWS.
type Keys struct {
	ID      string
	Secret  redact.Text
	Session redact.Text
	Expires time.Time
}

// Token proves who somebody is.
type Token struct {
	Value   redact.Text
	Expires time.Time
}

// Login is a user and their secret. Without a user the secret is a bearer token.
type Login struct {
	User    redact.Text
	Secret  redact.Text
	Expires time.Time
}

// AWS returns keys for AWS. A region decides which of its token services is asked.
func (h Holder) AWS(ctx context.Context, region string) (Keys, error) {
	token, err := h.token(ctx, h.aws(), auth.WithSTSRegion(region))
	if err != nil {
		return Keys{}, err
	}
	held, right := token.(*aws.Credentials)
	if !right || held.AccessKeyId == nil || held.SecretAccessKey == nil {
		return Keys{}, errors.New("AWS gives no credentials for " + h.account.String())
	}
	keys := Keys{ID: *held.AccessKeyId, Secret: redact.Text(*held.SecretAccessKey)}
	if held.SessionToken != nil {
		keys.Session = redact.Text(*held.SessionToken)
	}
	if held.Expiration != nil {
		keys.Expires = *held.Expiration
	}
	return keys, nil
}

// Azure returns a token for a scope, "https://vault.azure.net/.default" for example.
func (h Holder) Azure(ctx context.Context, scope string) (Token, error) {
	token, err := h.token(ctx, h.azure(), auth.WithScopes(scope))
	if err != nil {
		return Token{}, err
	}
	held, right := token.(*azure.Token)
	if !right {
		return Token{}, errors.New("Azure gives no token for " + h.account.String())
	}
	return Token{redact.Text(held.Token), held.ExpiresOn}, nil
}

// Google returns a token for all of Google Cloud.
func (h Holder) Google(ctx context.Context) (Token, error) {
	token, err := h.token(ctx, h.google())
	if err != nil {
		return Token{}, err
	}
	held, right := token.(*gcp.Token)
	if !right {
		return Token{}, errors.New("Google Cloud gives no token for " + h.account.String())
	}
	return Token{redact.Text(held.AccessToken), held.Expiry}, nil
}

// Kubernetes returns a token of the account for somebody who trusts the cluster. There is none of our own:
// what it is worth is not for others to decide.
func (h Holder) Kubernetes(ctx context.Context, audience string) (redact.Text, error) {
	if h.source == nil || h.account.Name == "" {
		return "", ErrNoAccount
	}
	token, err := h.source.home.NewTokens(kube.Account{Namespace: h.account.Namespace, Name: h.account.Name, Audiences: []string{audience}}).Token(ctx)
	if err != nil {
		return "", h.explain("the cluster", home{err})
	}
	return token, nil
}

// Git returns a login for a Git repository at its https address, of AWS CodeCommit or Azure DevOps.
func (h Holder) Git(ctx context.Context, provider, address string) (Login, error) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Scheme != "https" || parsed.Host == "" || parsed.User != nil {
		return Login{}, fmt.Errorf("provider %s needs an https address without a user", provider)
	}
	var git auth.GitCredentialsProvider
	switch provider {
	case AWS:
		git = h.aws()
	case Azure:
		if !ofDevOps(parsed.Hostname()) {
			return Login{}, errors.New("provider azure sends its token to Azure DevOps alone: dev.azure.com or a host below visualstudio.com")
		}
		git = h.azure()
	default:
		return Login{}, fmt.Errorf("provider %q has no Git repositories; these are aws and azure", provider)
	}
	input, err := git.ParseGitRepository(parsed)
	if err != nil {
		return Login{}, errors.New(oneLine(err))
	}
	options, err := git.GetAccessTokenOptionsForGitRepository(parsed)
	if err != nil {
		return Login{}, errors.New(oneLine(err))
	}
	token, err := h.token(ctx, git, options...)
	if err != nil {
		return Login{}, err
	}
	made, err := git.NewGitCredentials(ctx, input, token, options...) // no request: AWS's is a signature
	if err != nil {
		return Login{}, h.explain(provider, err)
	}
	if made.BearerToken != "" {
		return Login{Secret: redact.Text(made.BearerToken), Expires: made.ExpiresAt}, nil
	}
	return Login{User: redact.Text(made.Username), Secret: redact.Text(made.Password), Expires: made.ExpiresAt}, nil
}

func ofDevOps(host string) bool {
	host = strings.ToLower(host)
	return host == "dev.azure.com" || strings.HasSuffix(host, ".visualstudio.com")
}

// Registry returns a login for an OCI repository, "host/path" without a scheme, of ECR, ACR, or Google's
// registries.
func (h Holder) Registry(ctx context.Context, provider, repository string) (Login, error) {
	var registry auth.ArtifactRegistryCredentialsProvider
	switch provider {
	case AWS:
		registry = h.aws()
	case Azure:
		registry = h.azure()
	case Google:
		registry = h.google()
	default:
		return Login{}, fmt.Errorf("provider %q is none of aws, azure, gcp", provider)
	}
	input, err := registry.ParseArtifactRepository(repository)
	if err != nil {
		return Login{}, errors.New(oneLine(err))
	}
	options, err := registry.GetAccessTokenOptionsForArtifactRepository(repository)
	if err != nil {
		return Login{}, errors.New(oneLine(err))
	}
	made, err := h.derive(ctx, "registry "+input, registry, [][]auth.Option{options}, func(ctx context.Context, tokens []auth.Token) (auth.Token, error) {
		return registry.NewArtifactRegistryCredentials(ctx, input, tokens[0], options...)
	})
	if err != nil {
		return Login{}, err
	}
	found, right := made.(*auth.ArtifactRegistryCredentials)
	if !right {
		return Login{}, fmt.Errorf("%s gives no login for %s", provider, h.account)
	}
	login, err := found.Authorization()
	if err != nil {
		return Login{}, h.explain(provider, err)
	}
	return Login{User: redact.Text(login.Username), Secret: redact.Text(login.Password), Expires: found.ExpiresAt}, nil
}

// derive returns what a provider makes of tokens, and keeps it like a token.
func (h Holder) derive(ctx context.Context, what string, provider auth.Provider, wants [][]auth.Option, make func(context.Context, []auth.Token) (auth.Token, error)) (auth.Token, error) {
	if !h.Known() {
		return nil, ErrNoAccount
	}
	who, err := h.who(ctx, provider)
	if err != nil {
		return nil, err
	}
	return h.source.tokens.get(ctx, who.key(what, provider, wants[0]), func(ctx context.Context) (auth.Token, time.Duration, error) {
		var tokens []auth.Token
		for _, options := range wants {
			token, err := h.token(ctx, provider, options...)
			if err != nil {
				return nil, 0, err
			}
			tokens = append(tokens, token)
		}
		made, err := make(ctx, tokens)
		if err != nil {
			return nil, 0, h.explain(provider.GetName(), err)
		}
		return made, made.GetDuration(), nil
	})
}

func (h Holder) aws() aws.Provider     { return aws.Provider{Implementation: h.parts().AWS} }
func (h Holder) azure() azure.Provider { return azure.Provider{Implementation: h.parts().Azure} }
func (h Holder) google() gcp.Provider  { return gcp.Provider{Implementation: h.parts().Google} }

func (h Holder) parts() Providers {
	if h.source == nil {
		return Providers{}
	}
	return h.source.options.Providers
}
