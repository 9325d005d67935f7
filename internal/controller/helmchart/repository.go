package helmchart

import (
	"context"
	"errors"
	"fmt"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/controller/helmrepository"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/stage/source/helm"
	"holdfast.dev/holdfast/internal/stage/source/helm/index"
)

// fromRepository builds a chart of a Helm repository or a registry.
func (c *Controller) fromRepository(ctx context.Context, object *sourcev1.HelmChart, repository *sourcev1.HelmRepository, o outcome) outcome {
	remote, err := helmrepository.RemoteOf(ctx, c.Secrets, repository)
	if err != nil {
		return o.Failed(sourcev1.FetchFailedCondition, err)
	}
	if remote.OCI() {
		return c.fromRegistry(ctx, object, remote, o)
	}
	if repository.Status.Artifact == nil {
		return noArtifact(object, o)
	}
	o.Facts.source = repository.Status.Artifact.Revision
	listed, err := helmrepository.Index(c.library, c.Store, repository.Status.Artifact)
	if err != nil {
		return pullError.failed(o, fmt.Errorf("could not load repository index for remote chart reference: %w", err))
	}
	found, err := listed.Find(object.Spec.Chart, object.Spec.Version)
	if err != nil {
		return referenceError.failed(o, fmt.Errorf("failed to get chart version for remote reference: %w", err))
	}
	if o, err = resolved(object, found.Name, found.Version, o); err != nil || known(object, o) {
		return concluded(object, o, err)
	}
	packed, err := c.remotes.Download(ctx, remote, found)
	return c.fromPacked(ctx, object, packed, err, o)
}

func (c *Controller) fromRegistry(ctx context.Context, object *sourcev1.HelmChart, remote helm.Remote, o outcome) outcome {
	version, digest, err := c.remotes.Resolve(ctx, remote, object.Spec.Chart, object.Spec.Version)
	if err != nil {
		return pullError.failed(o, fmt.Errorf("failed to get chart version for remote reference: %w", because(err)))
	}
	name := object.Spec.Chart[strings.LastIndex(object.Spec.Chart, "/")+1:]
	if o, err = resolved(object, name, version, o); err != nil || known(object, o) {
		return concluded(object, o, err)
	}
	packed, err := c.remotes.Pull(ctx, remote, object.Spec.Chart, digest)
	return c.fromPacked(ctx, object, packed, err, o)
}

// because gives an error of the network its reason.
func because(err error) error {
	if errors.Is(err, helm.ErrAuthentication) {
		return fault.Because(sourcev1.AuthenticationFailedReason, err)
	}
	return err
}

// resolved notes the version that a build would give.
func resolved(object *sourcev1.HelmChart, name, version string, o outcome) (outcome, error) {
	tagged, err := helm.Tagged(version, build(object, nil))
	if err != nil {
		return o, err
	}
	o.Facts.name, o.Facts.version, o.Revision = name, tagged, record.Revision{Name: tagged}
	o.Facts.packaged = tagged != version
	return o, nil
}

func concluded(object *sourcev1.HelmChart, o outcome, err error) outcome {
	if err != nil {
		return metadataError.failed(o, err)
	}
	o.Facts.valuesFiles = object.Status.ObservedValuesFiles
	return o
}

// fromPacked builds a chart that was downloaded.
func (c *Controller) fromPacked(ctx context.Context, object *sourcev1.HelmChart, packed []byte, err error, o outcome) outcome {
	if err != nil {
		return pullError.failed(o, fmt.Errorf("failed to download chart for remote reference: %w", because(err)))
	}
	chart, err := helm.Unpack(packed)
	if err != nil {
		return pullError.failed(o, err)
	}
	if names := valuesFilesOf(object); len(names) > 0 {
		if err := chart.MergeValues(names, object.Spec.IgnoreMissingValuesFiles, chart.File); err != nil {
			return valuesError.failed(o, err)
		}
	}
	return c.keep(ctx, object, chart, o)
}

// dependencies finds the charts that other charts need, with the credentials of the namespace's HelmRepository
// that has the same address, or with none.
func (c *Controller) dependencies(namespace string) helm.Fetch {
	return func(ctx context.Context, address, name, version string) ([]byte, error) {
		if !strings.HasPrefix(address, "https://") && !strings.HasPrefix(address, "http://") && !strings.HasPrefix(address, "oci://") {
			return nil, fmt.Errorf("repository '%s' is none of https, oci and file", address)
		}
		remote, listed, err := c.repositoryAt(ctx, namespace, address)
		if err != nil {
			return nil, err
		}
		if remote.OCI() {
			_, digest, err := c.remotes.Resolve(ctx, remote, name, version)
			if err != nil {
				return nil, err
			}
			return c.remotes.Pull(ctx, remote, name, digest)
		}
		if listed == nil {
			fetched, err := c.remotes.Fetch(ctx, remote, "")
			if err != nil {
				return nil, err
			}
			listed = fetched.Index
		}
		found, err := listed.Find(name, version)
		if err != nil {
			return nil, err
		}
		return c.remotes.Download(ctx, remote, found)
	}
}

func (c *Controller) repositoryAt(ctx context.Context, namespace, address string) (helm.Remote, *index.Index, error) {
	var list sourcev1.HelmRepositoryList
	if err := c.Client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return helm.Remote{}, nil, fmt.Errorf("listing HelmRepositories: %w", err)
	}
	for i := range list.Items {
		one := &list.Items[i]
		if strings.TrimSuffix(one.Spec.URL, "/") != strings.TrimSuffix(address, "/") {
			continue
		}
		remote, err := helmrepository.RemoteOf(ctx, c.Secrets, one)
		if err != nil || one.Status.Artifact == nil || remote.OCI() {
			return remote, nil, err
		}
		listed, err := helmrepository.Index(c.library, c.Store, one.Status.Artifact)
		return remote, listed, err
	}
	return helm.Remote{URL: address}, nil, nil
}
