package helmrelease

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"holdfast.dev/holdfast/internal/helm"
	"holdfast.dev/holdfast/internal/helm/storage"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/stage/render/chart"
	"holdfast.dev/holdfast/internal/stage/render/chart/values"
)

// open loads the chart and makes the delivery of this visit.
func (v *visit) open(ctx context.Context, artifact *meta.Artifact, merged values.Merged, site pipeline.Site) error {
	files, err := v.Trees.Open(ctx, artifact)
	if err != nil {
		return fault.Because(meta.ArtifactFailedReason, err)
	}
	loaded, err := v.Renderer.Open(files, "")
	if err != nil {
		return err
	}
	digest, err := values.Digest(merged.Values)
	if err != nil {
		return fault.Stall(reasonValues, err)
	}
	v.chart = describe(v.unit, loaded, artifact)
	records, err := storage.Open(site.Cluster, v.unit.GetStorageNamespace())
	if err != nil {
		return err
	}
	input := inputOf(v.unit)
	input.Chart, input.Values, input.Secret = loaded, merged.Values, merged.Secret
	if v.chart.version != loaded.Metadata().Version {
		input.ChartVersion = v.chart.version
	}
	input.Namespaced = func(gvk schema.GroupVersionKind) (bool, bool) {
		mapping, err := site.Cluster.Map(ctx, object.Ref{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Name: "any"})
		return mapping.Namespaced, err == nil
	}
	input.Lookup = lookup(site.Cluster)
	v.helm = &helm.Delivery{
		Renderer: v.Renderer, Storage: records, Input: input, Configured: digest, MaxHistory: v.unit.GetMaxHistory(),
		OCIDigest: v.chart.ociDigest, Book: &v.memo.book,
		Capabilities: func(ctx context.Context) (chart.Capabilities, error) { return v.cans.of(ctx, site.Cluster) },
	}
	v.helm.Install, v.helm.Upgrade = policiesOf(v.unit)
	if installs(v.unit) && v.unit.GetInstall().CreateNamespace {
		return makeNamespace(ctx, site.Cluster, v.unit.GetReleaseNamespace())
	}
	return nil
}

// makeNamespace makes the namespace of a release, which is no part of it.
func makeNamespace(ctx context.Context, cluster *kube.Cluster, name string) error {
	ref := object.Ref{Version: "v1", Kind: "Namespace", Name: name}
	_, err := cluster.Get(ctx, ref)
	if !apierrors.IsNotFound(err) {
		return err
	}
	body := fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q,"labels":{"name":%q}}}`, name, name)
	if _, err := cluster.Apply(ctx, ref, []byte(body), kube.ApplyOptions{Manager: Manager}); err != nil {
		return fmt.Errorf("making namespace %s: %w", name, err)
	}
	return nil
}

// lookup answers the templates' function of that name, under the identity of the release.
func lookup(cluster *kube.Cluster) chart.Lookup {
	return func(ctx context.Context, apiVersion, kind, namespace, name string) (map[string]any, error) {
		version, err := schema.ParseGroupVersion(apiVersion)
		if err != nil {
			return nil, err
		}
		ref := object.Ref{Group: version.Group, Version: version.Version, Kind: kind, Namespace: namespace, Name: name}
		none := map[string]any{}
		if name != "" {
			found, err := cluster.Get(ctx, ref)
			switch {
			case apierrors.IsNotFound(err), apimeta.IsNoMatchError(err):
				return none, nil
			case err != nil:
				return nil, err
			}
			return found.Object, nil
		}
		mapping, err := cluster.Map(ctx, ref)
		if apimeta.IsNoMatchError(err) {
			return none, nil
		}
		if err != nil {
			return nil, err
		}
		resource := cluster.Dynamic().Resource(mapping.Resource)
		list, err := resource.List(ctx, metav1.ListOptions{})
		if namespace != "" {
			list, err = resource.Namespace(namespace).List(ctx, metav1.ListOptions{})
		}
		if err != nil {
			return nil, err
		}
		return list.UnstructuredContent(), nil
	}
}

// capabilities remembers for a moment what clusters can do: releases come in crowds.
type capabilities struct {
	lock sync.Mutex
	all  map[string]known
}

type known struct {
	at    time.Time
	found chart.Capabilities
}

// fresh is for how long an answer is good. A chart that asks whether a kind is there must see one that was
// made a moment ago.
const fresh = 5 * time.Second

// of asks a cluster for its version and for the kinds that it serves.
func (c *capabilities) of(ctx context.Context, cluster *kube.Cluster) (chart.Capabilities, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	host := cluster.Config().Host
	if one, found := c.all[host]; found && time.Since(one.at) < fresh {
		return one.found, nil
	}
	client, err := discovery.NewDiscoveryClientForConfig(cluster.Config())
	if err != nil {
		return chart.Capabilities{}, err
	}
	version, err := client.ServerVersion()
	if err != nil {
		return chart.Capabilities{}, err
	}
	groups, resources, err := client.ServerGroupsAndResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return chart.Capabilities{}, err
	}
	found := chart.Capabilities{KubeVersion: version.GitVersion}
	for _, group := range groups {
		for _, one := range group.Versions {
			found.APIVersions = append(found.APIVersions, one.GroupVersion)
		}
	}
	for _, list := range resources {
		for _, one := range list.APIResources {
			found.APIVersions = append(found.APIVersions, list.GroupVersion+"/"+one.Kind)
		}
	}
	if c.all == nil || len(c.all) > 1000 {
		c.all = map[string]known{}
	}
	c.all[host] = known{time.Now(), found}
	return found, ctx.Err()
}
