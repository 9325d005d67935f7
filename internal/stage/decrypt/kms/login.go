package kms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/model/redact"
)

// SetVaults says which Vaults an identity may log in to, and by which path: "auth/kubernetes/login" by
// "https://vault.example.org:8200". No other Vault is shown a token of an account.
func (c *Credentials) SetVaults(vaults map[string]string) {
	c.vaults, c.logins = vaults, &logins{turn: make(chan struct{}, 1), all: map[string]login{}}
}

// ParseVaults reads the Vaults that an operator lists, in the form that Flux has for them.
func ParseVaults(text []byte) (map[string]string, error) {
	var listed struct {
		Instances []struct {
			Address   string `json:"address"`
			LoginPath string `json:"loginPath"`
		} `json:"instances"`
	}
	if err := yaml.Unmarshal(text, &listed); err != nil {
		return nil, errors.New("it is no list of instances with address and loginPath")
	}
	vaults := make(map[string]string, len(listed.Instances))
	for i, one := range listed.Instances {
		address := strings.TrimSuffix(one.Address, "/")
		if !strings.HasPrefix(address, "https://") && !strings.HasPrefix(address, "http://") || scrub(address) != address {
			return nil, fmt.Errorf("the address of instance %d is none of the form https://host:port", i+1)
		}
		steps := strings.Split(strings.Trim(one.LoginPath, "/"), "/")
		for _, step := range steps {
			if step == "" || step == "." || step == ".." || strings.ContainsAny(step, "?#%\\ ") {
				return nil, fmt.Errorf("the loginPath of instance %d is none like auth/kubernetes/login", i+1)
			}
		}
		vaults[address] = strings.Join(steps, "/")
	}
	return vaults, nil
}

// enterVault returns what a Vault is asked with: the unit's token, or one that it gives to an identity.
func (c *Credentials) enterVault(ctx context.Context, reach Reach, address string) (*http.Client, redact.Text, error) {
	if c.vault != "" {
		client, err := reach.vaultClient(address)
		return client, c.vault, err
	}
	path, listed := c.vaults[address]
	switch {
	case !c.holder.Known() || c.holder.Account().Name == "" || len(c.vaults) == 0:
		return nil, "", fmt.Errorf("%w: a token for Vault, as the key \"sops.vault-token\", or a ServiceAccount in spec.decryption.serviceAccountName and a login path in the controller's --sops-vault-configmap", ErrNoCredentials)
	case !listed:
		return nil, "", errors.New("it is not among the Vaults that the operator lets identities log in to, in the ConfigMap of --sops-vault-configmap")
	}
	client := open() // the operator named it
	select {
	case c.logins.turn <- struct{}{}:
		defer func() { <-c.logins.turn }()
	case <-ctx.Done():
		return nil, "", context.Cause(ctx)
	}
	if known := c.logins.all[address]; time.Now().Before(known.until) {
		return client, known.token, nil
	}
	made, err := c.logIn(ctx, client, address, path)
	if err != nil {
		return nil, "", err
	}
	c.logins.all[address] = made
	return client, made.token, nil
}

// logIn shows a Vault a token of the account that is for this Vault alone. The role is named after the account.
func (c *Credentials) logIn(ctx context.Context, client *http.Client, address, path string) (login, error) {
	account := c.holder.Account()
	token, err := c.holder.Kubernetes(ctx, address)
	if err != nil {
		return login{}, proof(err)
	}
	role := account.Namespace + "_" + account.Name
	body, err := json.Marshal(map[string]string{"role": role, "jwt": token.Reveal()})
	if err != nil {
		return login{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return login{}, errors.New("its address is invalid")
	}
	request.Header.Set("X-Vault-Request", "true")
	request.Header.Set("Content-Type", "application/json")
	answer, status, err := ask(client, request)
	switch {
	case err != nil:
		return login{}, unavailable("its login", err)
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return login{}, fmt.Errorf("%w: its login answers with status %d", ErrUnavailable, status)
	case status != http.StatusOK:
		return login{}, fmt.Errorf("it refuses the login of %s at %s as role %s with status %d: the role must exist, and be bound to the account and to the audience %s", account, path, role, status, address)
	}
	var found struct {
		Auth struct {
			Token string `json:"client_token"`
			Lease int64  `json:"lease_duration"`
		} `json:"auth"`
	}
	if json.Unmarshal(answer, &found) != nil || found.Auth.Token == "" {
		return login{}, errors.New("its login gives an answer that is none of a Vault")
	}
	life := time.Duration(min(max(found.Auth.Lease, 0), int64(time.Hour/time.Second))) * time.Second
	return login{redact.Text(found.Auth.Token), time.Now().Add(life * 4 / 5)}, nil
}
