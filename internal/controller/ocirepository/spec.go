package ocirepository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/stage/source/oci"
)

type artifact = meta.Artifact

// requestOf translates a spec into a request, without its secrets. What it refuses, only a change of the spec
// can make possible.
func requestOf(object *sourcev1.OCIRepository) (oci.Request, error) {
	spec := object.Spec
	if _, err := oci.Repository(spec.URL, spec.Insecure); err != nil {
		return oci.Request{}, fault.Stall(sourcev1.URLInvalidReason, fmt.Errorf("reading spec.url: %w", err))
	}
	switch spec.Provider {
	case "", sourcev1.GenericOCIProvider:
	default:
		if spec.SecretRef == nil {
			return oci.Request{}, fault.Stall(sourcev1.InvalidProviderConfigurationReason, fmt.Errorf(
				"the login of provider %q is not available in this version: put a token of the registry into a Secret of type kubernetes.io/dockerconfigjson and name it with spec.secretRef", spec.Provider))
		}
	}
	request := oci.Request{URL: spec.URL, Insecure: spec.Insecure, Timeout: time.Minute}
	if spec.Timeout != nil && spec.Timeout.Duration > 0 {
		request.Timeout = spec.Timeout.Duration
	}
	if ref := spec.Reference; ref != nil {
		request.Reference = oci.Reference{Digest: ref.Digest, SemVer: ref.SemVer, Filter: ref.SemverFilter, Tag: ref.Tag}
	}
	return request, nil
}

// addSecrets reads the Secrets that the spec names and adds what is in them to the request.
func (c *Controller) addSecrets(ctx context.Context, object *sourcev1.OCIRepository, request *oci.Request) error {
	var err error
	if ref := object.Spec.ProxySecretRef; ref != nil {
		if request.Proxy, err = source.Proxy(ctx, c.Secrets, object.Namespace, ref.Name); err != nil {
			return err
		}
	}
	if ref := object.Spec.CertSecretRef; ref != nil {
		if request.Certificates, err = source.Certificates(ctx, c.Secrets, object.Namespace, ref.Name); err != nil {
			return err
		}
	}
	logins, err := c.logins(ctx, object)
	if err != nil {
		return fmt.Errorf("configuring authentication: %w", err)
	}
	repository, err := oci.Repository(request.URL, request.Insecure)
	if err != nil {
		return err
	}
	request.Login = logins.For(repository)
	return nil
}

// logins collects those of the Secret that the spec names, and of the account's pull secrets.
func (c *Controller) logins(ctx context.Context, object *sourcev1.OCIRepository) (oci.Logins, error) {
	var all oci.Logins
	var names []string
	if ref := object.Spec.SecretRef; ref != nil {
		names = append(names, ref.Name)
	}
	if name := object.Spec.ServiceAccountName; name != "" {
		var account corev1.ServiceAccount
		if err := c.Secrets.Get(ctx, types.NamespacedName{Namespace: object.Namespace, Name: name}, &account); err != nil {
			return all, fmt.Errorf("reading service account %s/%s: %w", object.Namespace, name, err)
		}
		for _, ref := range account.ImagePullSecrets {
			names = append(names, ref.Name)
		}
	}
	for _, name := range names {
		secret, err := source.Secret(ctx, c.Secrets, object.Namespace, name)
		if err != nil {
			return all, err
		}
		logins, err := loginsOf(secret)
		if err != nil {
			return all, fmt.Errorf("secret %s/%s: %w", object.Namespace, name, err)
		}
		all = all.Join(logins)
	}
	return all, nil
}

func loginsOf(secret *corev1.Secret) (oci.Logins, error) {
	config := source.First(secret.Data, corev1.DockerConfigJsonKey, corev1.DockerConfigKey)
	if config == nil {
		return oci.Logins{}, errors.New("key " + corev1.DockerConfigJsonKey + " is missing: it has to be a Secret of type kubernetes.io/dockerconfigjson")
	}
	logins, err := oci.ParseConfig(config)
	if err != nil {
		return oci.Logins{}, fmt.Errorf("key %s: %w", corev1.DockerConfigJsonKey, err)
	}
	return logins, nil
}
