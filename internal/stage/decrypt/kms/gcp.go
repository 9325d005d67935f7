package kms

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/getsops/sops/v3/keyservice"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"golang.org/x/oauth2/jwt"
)

const (
	gcpAddress = "https://cloudkms.googleapis.com"
	gcpScope   = "https://www.googleapis.com/auth/cloudkms"
)

// gcpAccount is the key of a service account.
type gcpAccount struct{ config *jwt.Config }

// SetGCP reads the key file of a service account of Google Cloud. Other kinds of credentials can name
// files, addresses and programs to get a token from, so they are refused.
func (c *Credentials) SetGCP(text []byte) error {
	var held struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(bytes.TrimSpace(text), &held); err != nil {
		return errors.New("it is no JSON")
	}
	if held.Type != "service_account" {
		return fmt.Errorf("credentials of type %q are not taken: it wants the key of a service account", held.Type)
	}
	config, err := google.JWTConfigFromJSON(bytes.TrimSpace(text), gcpScope)
	if err != nil {
		return errors.New("it is no key of a service account")
	}
	c.gcp = &gcpAccount{config}
	return nil
}

var gcpResource = regexp.MustCompile(`^projects/[^/?#%]+/locations/[^/?#%]+/keyRings/[^/?#%]+/cryptoKeys/[^/?#%]+$`)

func (c *Credentials) askGCP(ctx context.Context, reach Reach, key *keyservice.GcpKmsKey, ciphertext []byte) ([]byte, error) {
	name := key.GetResourceId()
	if !gcpResource.MatchString(name) || strings.Contains(name, "..") {
		return nil, fmt.Errorf("%s is no name of a key in Google Cloud KMS", name)
	}
	address := gcpAddress
	if reach.Google != "" {
		address = strings.TrimSuffix(reach.Google, "/")
	}
	client := reach.cloudClient(reach.Google)
	token, err := c.google(ctx, reach, client)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]string{"ciphertext": string(ciphertext)}) // SOPS keeps it in base64, as the API wants it
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/v1/"+name+":decrypt", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s is no name of a key in Google Cloud KMS", name)
	}
	request.Header.Set("Content-Type", "application/json")
	token.SetAuthHeader(request)
	answer, status, err := ask(client, request)
	if err != nil {
		return nil, unavailable("Google Cloud KMS", err)
	}
	return readGCP(name, status, answer)
}

// google returns a token for Google Cloud.
func (c *Credentials) google(ctx context.Context, reach Reach, client *http.Client) (*oauth2.Token, error) {
	if c.gcp != nil {
		if reach.Google == "" {
			if err := ofGoogle(c.gcp.config.TokenURL); err != nil {
				return nil, err
			}
		}
		token, err := c.gcp.config.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, client)).Token()
		if err != nil {
			return nil, gcpTokenError(err)
		}
		return token, nil
	}
	if !c.holder.Known() {
		return nil, c.lacking("access to Google Cloud KMS, as the key \"sops.gcp-kms\"")
	}
	token, err := c.holder.Google(ctx)
	if err != nil {
		return nil, proof(err)
	}
	return &oauth2.Token{AccessToken: token.Value.Reveal(), Expiry: token.Expires}, nil
}

// ofGoogle refuses to prove who we are to anybody but Google.
func ofGoogle(address string) error {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Scheme != "https" || !strings.HasSuffix(parsed.Hostname(), ".googleapis.com") {
		return errors.New("its credentials for Google Cloud name a token service that is not Google's")
	}
	return nil
}

func gcpTokenError(err error) error {
	var told *oauth2.RetrieveError
	if errors.As(err, &told) && told.Response != nil && told.Response.StatusCode < http.StatusInternalServerError {
		return fmt.Errorf("Google Cloud refuses the key of the service account with status %d", told.Response.StatusCode) //nolint:staticcheck // Google is a name
	}
	return unavailable("the token service of Google Cloud", err)
}

func readGCP(name string, status int, answer []byte) ([]byte, error) {
	switch {
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return nil, fmt.Errorf("%w: Google Cloud KMS answers with status %d", ErrUnavailable, status)
	case status != http.StatusOK:
		return nil, fmt.Errorf("Google Cloud KMS refuses %s with status %d", name, status) //nolint:staticcheck // Google is a name
	}
	var found struct {
		Plaintext string `json:"plaintext"`
	}
	if err := json.Unmarshal(answer, &found); err != nil {
		return nil, errors.New("Google Cloud KMS gives an answer that cannot be read") //nolint:staticcheck // Google is a name
	}
	plain, err := base64.StdEncoding.DecodeString(found.Plaintext)
	if err != nil || len(plain) == 0 {
		return nil, errors.New("Google Cloud KMS gives an answer that cannot be read") //nolint:staticcheck // Google is a name
	}
	return plain, nil
}
