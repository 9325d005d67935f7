package kms

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/getsops/sops/v3/keyservice"

	"holdfast.dev/holdfast/internal/model/redact"
)

type proxyFunc = func(*http.Request) (*url.URL, error)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// SetVaultToken sets the token that any Vault or OpenBao is asked with.
func (c *Credentials) SetVaultToken(token []byte) { c.vault = redact.Text(bytes.TrimSpace(token)) }

func vaultName(key *keyservice.VaultKey) string {
	return scrub(key.GetVaultAddress()) + "/v1/" + key.GetEnginePath() + "/keys/" + key.GetKeyName()
}

// askVault asks the transit engine of a Vault or OpenBao. Its own client library reads a dozen variables
// of the environment, tokens among them, so it is not used.
func (c *Credentials) askVault(ctx context.Context, reach Reach, key *keyservice.VaultKey, ciphertext []byte) ([]byte, error) {
	address := scrub(key.GetVaultAddress())
	name := "Vault at " + address
	target, err := vaultTarget(key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	client, token, err := c.enterVault(ctx, reach, address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	body, err := json.Marshal(map[string]string{"ciphertext": string(ciphertext)})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New(name + ": its address is invalid")
	}
	request.Header.Set("X-Vault-Token", token.Reveal())
	request.Header.Set("X-Vault-Request", "true")
	request.Header.Set("Content-Type", "application/json")
	answer, status, err := ask(client, request)
	if err != nil {
		return nil, unavailable(name, err)
	}
	if status == http.StatusForbidden || status == http.StatusUnauthorized {
		c.logins.forget(address) // it may have been revoked: the next question comes with another
	}
	return readVault(name, vaultName(key), status, answer)
}

// vaultTarget makes the address of a request. What a file says must not lead anywhere else in the Vault.
func vaultTarget(key *keyservice.VaultKey) (string, error) {
	base, err := url.Parse(key.GetVaultAddress())
	if err != nil || base.Scheme != "https" && base.Scheme != "http" || base.Host == "" || base.User != nil {
		return "", errors.New("its address is invalid")
	}
	steps := append(strings.Split(strings.Trim(key.GetEnginePath(), "/"), "/"), "decrypt", key.GetKeyName())
	for i, step := range steps {
		if step == "" || step == "." || step == ".." || strings.ContainsAny(step, "/\\") {
			return "", errors.New("the path of its key is invalid")
		}
		steps[i] = url.PathEscape(step)
	}
	return strings.TrimSuffix(scrub(key.GetVaultAddress()), "/") + "/v1/" + strings.Join(steps, "/"), nil
}

// ask sends a request and reads the answer, as far as it is of a sensible size.
func ask(client *http.Client, request *http.Request) ([]byte, int, error) {
	response, err := client.Do(request)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return answer, response.StatusCode, err
}

func readVault(name, key string, status int, answer []byte) ([]byte, error) {
	switch {
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return nil, fmt.Errorf("%s refuses the token for %s: it has expired, or its policy does not allow to update the key's decrypt path", name, key)
	case status == http.StatusNotFound:
		return nil, fmt.Errorf("%s knows no key %s", name, key)
	case status == http.StatusBadRequest:
		return nil, fmt.Errorf("%s cannot open the data key with %s: the key was made anew, or its old versions were given up", name, key)
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError, status == http.StatusPreconditionFailed, status == 472, status == 473:
		return nil, fmt.Errorf("%w: %s answers with status %d", ErrUnavailable, name, status)
	case status != http.StatusOK:
		return nil, fmt.Errorf("%s answers with status %d", name, status)
	}
	var found struct {
		Data struct {
			Plaintext string `json:"plaintext"`
		} `json:"data"`
	}
	if err := json.Unmarshal(answer, &found); err != nil {
		return nil, errors.New(name + " gives an answer that is none of a Vault")
	}
	plain, err := base64.StdEncoding.DecodeString(found.Data.Plaintext)
	if err != nil || len(plain) == 0 {
		return nil, errors.New(name + " gives an answer that is none of a Vault")
	}
	return plain, nil
}
