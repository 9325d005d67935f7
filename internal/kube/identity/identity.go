package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/auth/aws"
	"github.com/fluxcd/pkg/auth/azure"
	"github.com/fluxcd/pkg/auth/gcp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"holdfast.dev/holdfast/internal/kube"
)

// The providers, as fields of resources name them.
const (
	AWS    = aws.ProviderName
	Azure  = azure.ProviderName
	Google = gcp.ProviderName
)

// StorageScope is what a token of Azure is asked for to read a Bucket.
const StorageScope = azure.ScopeBlobStorage

// Account is a ServiceAccount of the cluster. One without a name is nobody: see Options.Own.
type Account struct{ Namespace, Name string }

// String names the account for messages.
func (a Account) String() string {
	if a.Name == "" {
		return "the controller's own identity"
	}
	return "ServiceAccount " + a.Namespace + "/" + a.Name
}

// Providers are the parts of the library that talk to providers. A nil field is the real one; tests put
// others in.
type Providers struct {
	AWS    aws.Implementation
	Azure  azure.Implementation
	Google gcp.Implementation
}

// Options steer a Source. The zero value is the right default.
type Options struct {
	// Own gives those who name no account the identity of our own pod, with all of its rights at the
	// provider. Whoever may create a resource may then use them.
	Own       bool
	Providers Providers
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Source makes credentials. It is safe for concurrent use.
type Source struct {
	home      *kube.Cluster
	options   Options
	passports shelf[*corev1.ServiceAccount]
	tokens    shelf[auth.Token]
}

const (
	// mostKept bounds how many credentials are kept. More are asked for again.
	mostKept = 4096
	// glance is how long an account is taken to be what it was when it was looked at.
	glance = time.Minute
	// longest is how long credentials are kept at most, however long they are valid.
	longest = time.Hour
	// patience bounds one exchange, with all that a provider's client tries again.
	patience = 20 * time.Second
)

// New returns a Source for the accounts of a cluster. No request is sent yet.
func New(home *kube.Cluster, options Options) *Source {
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Source{
		home: home, options: options,
		passports: shelf[*corev1.ServiceAccount]{now: options.Now},
		tokens:    shelf[auth.Token]{now: options.Now},
	}
}

// Own tells whether those without an account are us.
func (s *Source) Own() bool { return s != nil && s.options.Own }

// Holder is somebody with an identity. The zero value has none and is refused everything.
type Holder struct {
	source  *Source
	account Account
}

// Of returns whoever an account stands for.
func (s *Source) Of(account Account) Holder { return Holder{s, account} }

// Account tells whose identity it is.
func (h Holder) Account() Account { return h.account }

// Known tells whether there is an identity that credentials can be asked for.
func (h Holder) Known() bool {
	return h.source != nil && (h.account.Name != "" || h.source.options.Own)
}

// ErrNoAccount says that nobody is named, and that we lend our own identity to nobody.
var ErrNoAccount = errors.New("it names no ServiceAccount, and the controller's own identity is lent to nobody: name one with serviceAccountName, or let the controller be started with --allow-controller-identity")

// ErrUnavailable says that somebody could not be asked, which may pass.
var ErrUnavailable = errors.New("an identity could not be proved")

// token returns what a provider gives the holder.
func (h Holder) token(ctx context.Context, provider auth.Provider, options ...auth.Option) (auth.Token, error) {
	if !h.Known() {
		return nil, ErrNoAccount
	}
	who, err := h.who(ctx, provider)
	if err != nil {
		return nil, err
	}
	return h.source.tokens.get(ctx, who.key("token", provider, options), func(ctx context.Context) (auth.Token, time.Duration, error) {
		made, err := h.exchange(ctx, provider, who, options)
		if err != nil {
			return nil, 0, h.explain(provider.GetName(), err)
		}
		return made, made.GetDuration(), nil
	})
}

func (h Holder) exchange(ctx context.Context, provider auth.Provider, who who, options []auth.Option) (auth.Token, error) {
	if who.passport == nil {
		return provider.NewControllerToken(ctx, options...)
	}
	token, err := h.source.home.NewTokens(kube.Account{
		Namespace: h.account.Namespace, Name: h.account.Name, Audiences: who.audiences,
	}).Token(ctx)
	if err != nil {
		return nil, home{err}
	}
	return provider.NewTokenForServiceAccount(ctx, token.Reveal(), *who.passport, options...)
}

// who is somebody as a provider sees them.
type who struct {
	passport  *corev1.ServiceAccount // nil is us
	identity  string
	audiences []string
}

// who looks at the account, and reads what its annotations say to a provider.
func (h Holder) who(ctx context.Context, provider auth.Provider) (who, error) {
	if h.account.Name == "" {
		return who{}, nil
	}
	passport, err := h.source.passport(ctx, h.account)
	if err != nil {
		return who{}, err
	}
	identity, err := provider.GetIdentity(*passport)
	if err != nil {
		return who{}, fmt.Errorf("%s: %s", h.account, oneLine(err))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	audiences, err := provider.GetAudiences(ctx, *passport) // Google's may have to be asked for in the neighbourhood
	if err != nil {
		return who{}, h.explainAudience(provider.GetName(), err)
	}
	return who{passport, identity, audiences}, nil
}

// key identifies what a provider was asked for, and for whom. It holds no secret.
func (w who) key(what string, provider auth.Provider, options []auth.Option) string {
	var asked auth.Options
	asked.Apply(options...)
	parts := []string{what, provider.GetName(), w.identity, strings.Join(w.audiences, " "), strings.Join(asked.Scopes, " "),
		strings.Join(asked.Audiences, " "), asked.STSRegion, asked.ClusterResource, asked.ClusterAddress, asked.CAData}
	if w.passport != nil {
		parts = append(parts, w.passport.Namespace, w.passport.Name, string(w.passport.UID))
	}
	return fmt.Sprintf("%q", parts)
}

// passport reads an account. It is read again after a while: one that is gone or means somebody else now
// must not live on here.
func (s *Source) passport(ctx context.Context, account Account) (*corev1.ServiceAccount, error) {
	return s.passports.get(ctx, account.Namespace+"/"+account.Name, func(ctx context.Context) (*corev1.ServiceAccount, time.Duration, error) {
		found, err := s.home.ReadAccount(ctx, account.Namespace, account.Name)
		switch {
		case apierrors.IsNotFound(err):
			return nil, 0, fmt.Errorf("%s not found: create it, with the annotations that the provider wants", account)
		case err != nil:
			return nil, 0, fmt.Errorf("%w: reading %s: %w", ErrUnavailable, account, err)
		}
		return found, glance, nil
	})
}
