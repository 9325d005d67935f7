package gitrepository

import (
	"context"
	"errors"
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/wire"
)

// addIdentity makes the request one of a ServiceAccount. A login is asked for at once, so that what is
// wrong with the account is told as such. Of a Secret only certificates are taken.
func (c *Controller) addIdentity(ctx context.Context, object *sourcev1.GitRepository, data map[string][]byte, request *git.Request) error {
	tokens := &logins{
		holder:   c.Identities.Of(identity.Account{Namespace: object.Namespace, Name: object.Spec.ServiceAccountName}),
		provider: object.GetProvider(), address: request.URL,
	}
	if _, err := tokens.Login(ctx); err != nil {
		err = fmt.Errorf("configuring authentication: provider %s: %w", tokens.provider, err)
		if errors.Is(err, identity.ErrNoAccount) {
			return fault.Stall(sourcev1.InvalidProviderConfigurationReason, err)
		}
		return fault.Because(sourcev1.AuthenticationFailedReason, err)
	}
	held := source.CertificatesOf(data)
	request.Auth = git.Auth{Tokens: tokens, CA: held.Authority, ClientCert: held.Client, ClientKey: held.Key}
	return nil
}

// logins are those of an identity at the provider of a repository.
type logins struct {
	holder            identity.Holder
	provider, address string
}

// Owner implements wire.Tokens.
func (l *logins) Owner() redact.Text {
	return redact.Text(fmt.Sprintf("%q", []string{l.provider, l.holder.Account().Namespace, l.holder.Account().Name}))
}

// Login implements wire.Tokens.
func (l *logins) Login(ctx context.Context) (wire.Login, error) {
	found, err := l.holder.Git(ctx, l.provider, l.address)
	return wire.Login{User: found.User, Secret: found.Secret}, err
}

// Refused implements wire.Tokens. What a provider gave is valid by its own word; that it does not open this
// repository is for a person to change.
func (*logins) Refused(redact.Text) {}
