package receiver

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"

	"holdfast.dev/holdfast/internal/model/expression"
)

// IssuerOptions shape an Issuers. The zero value is the right default.
type IssuerOptions struct {
	// Client reaches issuers; nil means one that goes to no address of this machine or its link.
	Client *http.Client
	// Google is the issuer of Google's tokens; empty means Google.
	Google string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Issuers verifies tokens of OIDC issuers. It asks only those that a Receiver names, and remembers
// what they answered for a while.
type Issuers struct {
	IssuerOptions
	lock sync.Mutex
	all  map[string]issuer
}

type issuer struct {
	provider *oidc.Provider
	asked    time.Time
}

const (
	// issuerTime is how long an issuer's own description holds. Its keys are looked up anew whenever a
	// token names one that is not known.
	issuerTime = time.Hour
	maxIssuers = 256
)

// NewIssuers makes an Issuers.
func NewIssuers(options IssuerOptions) *Issuers {
	if options.Client == nil {
		options.Client = guardedClient()
	}
	if options.Google == "" {
		options.Google = "https://accounts.google.com"
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Issuers{IssuerOptions: options, all: map[string]issuer{}}
}

// authorise verifies a bearer token against the provider that issued it, and returns its claims if
// they satisfy all of the provider's validations.
func (s *Issuers) authorise(ctx context.Context, providers []notificationv1.OIDCProvider, header string) (map[string]any, error) {
	token, err := bearer(header)
	if err != nil {
		return nil, err
	}
	name, err := issuerOf(token)
	if err != nil {
		return nil, err
	}
	position := slices.IndexFunc(providers, func(p notificationv1.OIDCProvider) bool { return p.IssuerURL == name })
	if position < 0 {
		return nil, errors.New("the token's issuer is none of the receiver's")
	}
	provider := providers[position]
	if len(provider.Validations) == 0 {
		return nil, errors.New("the issuer has no validations: anybody whom it knows could call")
	}
	claims, err := s.verify(ctx, provider.IssuerURL, provider.GetAudience(), token)
	if err != nil {
		return nil, err
	}
	return claims, validate(ctx, provider, claims)
}

// google verifies a token of a Pub/Sub subscription: it must be Google's, meant for us, and of the
// very account that the Secret names.
func (s *Issuers) google(ctx context.Context, header, email, audience string) error {
	if email == "" || audience == "" {
		return errors.New("the receiver's Secret needs 'email' and 'audience' of the subscription's push authentication")
	}
	token, err := bearer(header)
	if err != nil {
		return err
	}
	claims, err := s.verify(ctx, s.Google, audience, token)
	if err != nil {
		return err
	}
	verified, _ := claims["email_verified"].(bool)
	if claims["email"] != email || !verified {
		return errors.New("the token is of another account than the receiver's")
	}
	return nil
}

// verify checks a token's signature, issuer, audience and time, and returns its claims.
func (s *Issuers) verify(ctx context.Context, name, audience, token string) (map[string]any, error) {
	provider, err := s.of(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("asking the token's issuer: %w", err)
	}
	config := &oidc.Config{ClientID: audience, Now: s.Now}
	verified, err := provider.Verifier(config).Verify(oidc.ClientContext(ctx, s.Client), token)
	if err != nil {
		return nil, fmt.Errorf("verifying the token: %w", err)
	}
	claims := map[string]any{}
	if err := verified.Claims(&claims); err != nil {
		return nil, fmt.Errorf("reading the token's claims: %w", err)
	}
	return claims, nil
}

// of returns an issuer. Its keys are fetched with a context of their own: the call that first needs
// them may be over before the next does.
func (s *Issuers) of(ctx context.Context, name string) (*oidc.Provider, error) {
	s.lock.Lock()
	known, found := s.all[name]
	s.lock.Unlock()
	if found && s.Now().Sub(known.asked) < issuerTime {
		return known.provider, nil
	}
	provider, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), s.Client), name)
	if err != nil {
		return nil, err
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	if len(s.all) >= maxIssuers {
		clear(s.all)
	}
	s.all[name] = issuer{provider: provider, asked: s.Now()}
	return provider, nil
}

// bearer cuts the token out of an Authorization header.
func bearer(header string) (string, error) {
	scheme, token, found := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	if !found || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", errors.New("the Authorization header has no bearer token")
	}
	return token, nil
}

// issuerOf reads who says to have issued a token, to know whom to ask. Nothing else is believed of it
// before it is verified.
func issuerOf(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("the bearer token is no JWT")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", errors.New("the bearer token is no JWT")
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(raw, &claims); err != nil || claims.Issuer == "" {
		return "", errors.New("the bearer token names no issuer")
	}
	return claims.Issuer, nil
}

// validate asks a provider's questions about verified claims. The messages of those that are answered
// with no are for the caller: the Receiver's author wrote them to be.
func validate(ctx context.Context, provider notificationv1.OIDCProvider, claims map[string]any) error {
	variables := map[string]any{}
	data := map[string]any{"claims": claims, "vars": variables}
	names := []string{"claims", "vars"}
	for _, one := range provider.Variables {
		compiled, err := expression.Compile(one.Expression, expression.Options{Objects: names, AnyResult: true})
		if err != nil {
			return fmt.Errorf("variable %q: %w", one.Name, err)
		}
		if variables[one.Name], err = compiled.Value(ctx, data); err != nil {
			return fmt.Errorf("variable %q: %w", one.Name, err)
		}
	}
	var failed []string
	for _, one := range provider.Validations {
		compiled, err := expression.Compile(one.Expression, expression.Options{Objects: names})
		if err != nil {
			return fmt.Errorf("validation %q: %w", one.Message, err)
		}
		holds, err := compiled.Bool(ctx, data)
		if err != nil {
			return fmt.Errorf("validation %q: %w", one.Message, err)
		}
		if !holds {
			failed = append(failed, one.Message)
		}
	}
	if len(failed) > 0 {
		return &refusal{"token validation failed: " + strings.Join(failed, "; ")}
	}
	return nil
}
