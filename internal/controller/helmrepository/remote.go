package helmrepository

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/source/helm"
	"holdfast.dev/holdfast/internal/stage/source/transport"
)

// RemoteOf translates a repository and its Secrets. What it refuses for good, only a change of the spec can make
// possible.
func RemoteOf(ctx context.Context, secrets client.Reader, object *sourcev1.HelmRepository) (helm.Remote, error) {
	spec := object.Spec
	address, err := url.Parse(spec.URL)
	if err != nil || address.Host == "" {
		return helm.Remote{}, fault.Stall(sourcev1.URLInvalidReason, errors.New("invalid Helm repository URL: spec.url is not of the form scheme://host/path"))
	}
	if oci := spec.Type == sourcev1.HelmRepositoryTypeOCI; oci != (address.Scheme == "oci") {
		return helm.Remote{}, fault.Stall(sourcev1.URLInvalidReason, errors.New("invalid Helm repository URL: an address of oci:// and spec.type oci belong together"))
	}
	if spec.Provider != "" && spec.Provider != sourcev1.GenericOCIProvider && spec.Type == sourcev1.HelmRepositoryTypeOCI {
		return helm.Remote{}, fault.Stall(sourcev1.InvalidProviderConfigurationReason,
			fmt.Errorf("credentials of provider %q are not available for charts in this version: use a secretRef and provider generic", spec.Provider))
	}
	remote := helm.Remote{PassCredentials: spec.PassCredentials, Insecure: spec.Insecure, Timeout: object.GetTimeout()}
	if user := address.User; user != nil {
		password, _ := user.Password()
		remote.Username, remote.Password = redact.Text(user.Username()), redact.Text(password)
		address.User = nil
	}
	remote.URL = address.String()
	if err := addSecrets(ctx, secrets, object, address.Host, &remote); err != nil {
		return helm.Remote{}, fault.Because(fault.ReasonOf(err, sourcev1.AuthenticationFailedReason), err)
	}
	return remote, nil
}

func addSecrets(ctx context.Context, secrets client.Reader, object *sourcev1.HelmRepository, host string, remote *helm.Remote) error {
	if ref := object.Spec.SecretRef; ref != nil {
		secret, err := source.Secret(ctx, secrets, object.Namespace, ref.Name)
		if err == nil {
			err = addCredentials(secret, host, remote)
		}
		if err != nil {
			return fmt.Errorf("configuring authentication: %w", err)
		}
	}
	if ref := object.Spec.CertSecretRef; ref != nil {
		certificates, err := source.Certificates(ctx, secrets, object.Namespace, ref.Name)
		if err != nil {
			return err
		}
		remote.Certificates = certificates
	}
	return nil
}

func addCredentials(secret *corev1.Secret, host string, remote *helm.Remote) error {
	named := fmt.Sprintf("secret %s/%s", secret.Namespace, secret.Name)
	if secret.Type == corev1.SecretTypeDockerConfigJson {
		username, password, err := dockerLogin(secret.Data[corev1.DockerConfigJsonKey], host)
		if err != nil {
			return fmt.Errorf("%s: %w", named, err)
		}
		remote.Username, remote.Password = username, password
		return nil
	}
	username, password := secret.Data["username"], secret.Data["password"]
	if (len(username) == 0) != (len(password) == 0) {
		return fmt.Errorf("%s: keys username and password require each other", named)
	}
	if len(username) > 0 {
		remote.Username, remote.Password = redact.Text(username), redact.Text(password)
	}
	found := source.CertificatesOf(secret.Data)
	if err := found.Check(); err != nil {
		return fmt.Errorf("%s: %w", named, err)
	}
	if len(found.Authority)+len(found.Client) > 0 {
		remote.Certificates = transport.Certificates{Authority: found.Authority, Client: found.Client, Key: found.Key}
	}
	return nil
}

// dockerLogin finds the login for a registry in what docker login writes.
func dockerLogin(text []byte, host string) (username, password redact.Text, err error) {
	var config struct {
		Auths map[string]struct {
			Auth     string `json:"auth"`
			Username string `json:"username"`
			Password string `json:"password"`
		} `json:"auths"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return "", "", errors.New("key .dockerconfigjson is not what docker login writes")
	}
	for name, login := range config.Auths {
		name = strings.TrimPrefix(strings.TrimPrefix(name, "https://"), "http://")
		if at, _, _ := strings.Cut(name, "/"); !strings.EqualFold(at, host) {
			continue
		}
		if login.Username != "" {
			return redact.Text(login.Username), redact.Text(login.Password), nil
		}
		raw, err := base64.StdEncoding.DecodeString(login.Auth)
		user, secret, found := strings.Cut(string(raw), ":")
		if err != nil || !found {
			return "", "", fmt.Errorf("the login for %s is malformed", host)
		}
		return redact.Text(user), redact.Text(secret), nil
	}
	return "", "", fmt.Errorf("there is no login for %s in it", host)
}
