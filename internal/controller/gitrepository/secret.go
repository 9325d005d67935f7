package gitrepository

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"golang.org/x/crypto/ssh"

	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/githubapp"
)

// noSecret is where credentials come from if no Secret is named.
const noSecret = "spec.url"

// addSecrets reads the Secrets that the spec names and adds what is in them to the request.
func (c *Controller) addSecrets(ctx context.Context, object *sourcev1.GitRepository, request *git.Request) error {
	if ref := object.Spec.ProxySecretRef; ref != nil {
		proxy, err := source.Proxy(ctx, c.Secrets, object.Namespace, ref.Name)
		if err != nil {
			return err
		}
		request.Proxy = git.Proxy(proxy)
	}
	var data map[string][]byte
	origin := noSecret
	if ref := object.Spec.SecretRef; ref != nil {
		secret, err := source.Secret(ctx, c.Secrets, object.Namespace, ref.Name)
		if err != nil {
			return fmt.Errorf("configuring authentication: %w", err)
		}
		data, origin = secret.Data, fmt.Sprintf("secret %s/%s", object.Namespace, ref.Name)
	}
	if len(data[githubapp.KeyID]) > 0 && object.GetProvider() != sourcev1.GitProviderGitHub { // never to be taken for a password
		return fault.Because(sourcev1.InvalidProviderConfigurationReason, errors.New("the secret holds a GitHub App, but spec.provider is not github"))
	}
	switch object.GetProvider() {
	case sourcev1.GitProviderGitHub:
		return c.addApp(ctx, origin, data, request)
	case identity.AWS, identity.Azure:
		return c.addIdentity(ctx, object, data, request)
	}
	var err error
	if request.Auth, err = authOf(request.URL, request.Auth, data); err != nil {
		return fmt.Errorf("configuring authentication: %s: %w", origin, err)
	}
	return nil
}

// addApp makes the request one of a GitHub App. A token is asked for at once, so that what is wrong with
// the App is told as such.
func (c *Controller) addApp(ctx context.Context, origin string, data map[string][]byte, request *git.Request) error {
	if origin == noSecret {
		return fault.Stall(sourcev1.InvalidProviderConfigurationReason, errors.New(
			"provider github needs the keys of a GitHub App: name the Secret that holds them with spec.secretRef"))
	}
	if !strings.HasPrefix(request.URL, "https://") {
		return fault.Stall(sourcev1.InvalidProviderConfigurationReason, errors.New("provider github needs an https address in spec.url"))
	}
	app, err := githubapp.Parse(data)
	if err != nil {
		return fault.Because(sourcev1.InvalidProviderConfigurationReason, fmt.Errorf("%s: %w", origin, err))
	}
	if request.Proxy.URL != "" {
		if app.Proxy, err = url.Parse(request.Proxy.URL); err != nil {
			return errors.New("configuring proxy: its address is malformed")
		}
		if request.Proxy.Username != "" {
			app.Proxy.User = url.UserPassword(request.Proxy.Username.Reveal(), request.Proxy.Password.Reveal())
		}
	}
	tokens, err := c.Apps.Of(app)
	if err == nil {
		_, err = tokens.Token(ctx)
	}
	if err != nil {
		return fmt.Errorf("configuring authentication: %s: %w", origin, err)
	}
	request.Auth = git.Auth{Tokens: tokens, CA: app.CA}
	return nil
}

// authOf reads the keys that Flux knows. fromURL is what the address itself carries; the Secret wins.
func authOf(address string, fromURL git.Auth, data map[string][]byte) (git.Auth, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return git.Auth{}, errors.New("spec.url is not an address")
	}
	if parsed.Scheme == "ssh" {
		return sshAuthOf(parsed, data)
	}
	auth := git.Auth{
		CA:         source.First(data, "ca.crt", "caFile"),
		ClientCert: data["tls.crt"],
		ClientKey:  data["tls.key"],
	}
	if token, found := data["bearerToken"]; found {
		auth.BearerToken = redact.Text(token)
	} else {
		auth.Username, auth.Password = redact.Text(data["username"]), redact.Text(data["password"])
	}
	if auth.Username == "" {
		auth.Username = fromURL.Username
	}
	if auth.Password == "" {
		auth.Password = fromURL.Password
	}
	switch {
	case auth.Username == "" && auth.Password != "":
		return git.Auth{}, errors.New("key password requires key username")
	case (len(auth.ClientCert) == 0) != (len(auth.ClientKey) == 0):
		return git.Auth{}, errors.New("keys tls.crt and tls.key require each other")
	}
	return auth, nil
}

func sshAuthOf(address *url.URL, data map[string][]byte) (git.Auth, error) {
	auth := git.Auth{
		Username:         redact.Text(address.User.Username()),
		Identity:         data["identity"],
		IdentityPassword: redact.Text(data["password"]),
		KnownHosts:       data["known_hosts"],
	}
	if auth.Username == "" {
		auth.Username = "git"
	}
	switch {
	case len(auth.Identity) == 0:
		return git.Auth{}, errors.New("an ssh address requires key identity")
	case len(auth.KnownHosts) == 0:
		return git.Auth{}, errors.New("an ssh address requires key known_hosts")
	case auth.IdentityPassword == "":
		_, err := ssh.ParseRawPrivateKey(auth.Identity)
		var locked *ssh.PassphraseMissingError
		if errors.As(err, &locked) {
			return git.Auth{}, errors.New("key identity is encrypted and requires key password")
		}
	}
	return auth, nil
}
