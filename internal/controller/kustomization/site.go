package kustomization

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// sites are the clusters that units are delivered to: the one we run in, and remote ones that units
// name by a kubeconfig. A connection is shared by all units with the same kubeconfig and identity,
// and a remote one ends with the last unit that uses it.
type sites struct {
	local      pipeline.Site
	observe    func(*kube.Cluster) *observe.Observer
	options    kube.Options // of connections to remote clusters
	lock       sync.Mutex
	remote     map[[sha256.Size]byte]pipeline.Site
	identities map[identityKey]*kube.Cluster
	used       map[object.Owner][sha256.Size]byte
}

type identityKey struct {
	cluster *kube.Cluster
	as      kube.Identity
}

// site returns where a unit is delivered to, under the identity that it may use there.
func (r *reconciler) site(ctx context.Context, u *kustomizev1.Kustomization) (pipeline.Site, error) {
	site := r.sites.local
	if u.Spec.KubeConfig != nil {
		digest, config, err := r.elsewhere(ctx, u)
		if err != nil {
			return pipeline.Site{}, err
		}
		if site, err = r.sites.reach(ownerOf(u), digest, config); err != nil {
			return pipeline.Site{}, fault.Because(meta.ReconciliationFailedReason, err)
		}
	}
	account := r.serviceAccount(u)
	if account == "" {
		return site, nil
	}
	cluster, err := r.sites.as(site.Cluster, kube.ServiceAccount(u.Namespace, account))
	if err != nil {
		return pipeline.Site{}, fault.Because(meta.ReconciliationFailedReason, err)
	}
	return pipeline.Site{Cluster: cluster, Observer: site.Observer}, nil
}

// serviceAccount returns the name of the account that the unit acts as, or "" for our own rights.
func (r *reconciler) serviceAccount(u *kustomizev1.Kustomization) string {
	switch {
	case u.Spec.ServiceAccountName != "":
		return u.Spec.ServiceAccountName
	case u.Spec.KubeConfig != nil && u.Spec.KubeConfig.ConfigMapRef != nil:
		return "" // the connection is an account's own
	case u.Spec.KubeConfig != nil:
		return r.DefaultKubeConfigServiceAccount
	default:
		return r.DefaultServiceAccount
	}
}

// elsewhere tells which cluster a unit names, and how to connect to it.
func (r *reconciler) elsewhere(ctx context.Context, u *kustomizev1.Kustomization) ([sha256.Size]byte, func() (*rest.Config, error), error) {
	if u.Spec.KubeConfig.ConfigMapRef != nil {
		w, err := r.workloadOf(ctx, u)
		return w.digest(), func() (*rest.Config, error) { return w.config(ctx, r.sites.local.Cluster) }, err
	}
	raw, err := r.kubeconfig(ctx, u)
	policy := kube.KubeconfigPolicy{InsecureTLS: r.InsecureKubeconfigTLS}
	return sha256.Sum256(raw), func() (*rest.Config, error) { return kube.FromKubeconfig(raw, policy) }, err
}

// kubeconfig reads the kubeconfig that a unit names.
func (r *reconciler) kubeconfig(ctx context.Context, u *kustomizev1.Kustomization) ([]byte, error) {
	reference := u.Spec.KubeConfig.SecretRef
	if reference == nil {
		return nil, fault.Stall(meta.ReconciliationFailedReason, errors.New(
			"spec.kubeConfig names no cluster; name a Secret with secretRef, or a ConfigMap with configMapRef"))
	}
	secret, err := r.Follower.Get(ctx, configRef(u.Namespace, "Secret", reference.Name))
	if err != nil {
		return nil, fault.Because(meta.ReconciliationFailedReason, fmt.Errorf("reading kubeconfig Secret '%s/%s': %w", u.Namespace, reference.Name, err))
	}
	if secret == nil {
		return nil, fault.Wait(meta.ReconciliationFailedReason, 0, fmt.Errorf("kubeconfig Secret '%s/%s' not found", u.Namespace, reference.Name))
	}
	keys := []string{reference.Key}
	if reference.Key == "" {
		keys = []string{"value", "value.yaml"}
	}
	for _, key := range keys {
		encoded, found, _ := unstructured.NestedString(secret.Object, "data", key)
		if !found {
			continue
		}
		if raw, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			return raw, nil
		}
	}
	return nil, fault.Wait(meta.ReconciliationFailedReason, 0, fmt.Errorf("kubeconfig Secret '%s/%s' has none of the keys %q", u.Namespace, reference.Name, keys))
}

// reach connects to a remote cluster, once for all units that have the same digest. The configuration is
// asked for without locks held: it may take a request.
func (s *sites) reach(owner object.Owner, digest [sha256.Size]byte, configure func() (*rest.Config, error)) (pipeline.Site, error) {
	s.lock.Lock()
	_, found := s.remote[digest]
	s.lock.Unlock()
	var config *rest.Config
	if !found {
		var err error
		if config, err = configure(); err != nil {
			return pipeline.Site{}, err
		}
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	site, found := s.remote[digest]
	if !found {
		if config == nil { // its last unit has just left
			return pipeline.Site{}, fault.Wait(meta.ReconciliationFailedReason, time.Second, errors.New("connecting to the unit's cluster: the connection has just been closed"))
		}
		cluster, err := kube.Connect(config.Host, config, s.options)
		if err != nil {
			return pipeline.Site{}, err
		}
		site = pipeline.Site{Cluster: cluster, Observer: s.observe(cluster)}
		s.remote[digest] = site
	}
	if before, moved := s.used[owner]; moved && before != digest {
		defer s.dropIfUnused(before)
	}
	s.used[owner] = digest
	return site, nil
}

// leave ends a unit's use of a remote cluster.
func (s *sites) leave(owner object.Owner) {
	s.lock.Lock()
	defer s.lock.Unlock()
	digest, found := s.used[owner]
	if !found {
		return
	}
	delete(s.used, owner)
	s.dropIfUnused(digest)
}

// dropIfUnused ends the watches of a remote cluster that no unit uses. The lock is held.
func (s *sites) dropIfUnused(digest [sha256.Size]byte) {
	for _, other := range s.used {
		if other == digest {
			return
		}
	}
	site, found := s.remote[digest]
	if !found {
		return
	}
	delete(s.remote, digest)
	for key := range s.identities {
		if key.cluster == site.Cluster {
			delete(s.identities, key)
		}
	}
	go site.Observer.Stop() // it waits for connections to end, which need not hold anybody up
}

// as returns a cluster under another identity, once for all units that share it.
func (s *sites) as(cluster *kube.Cluster, identity kube.Identity) (*kube.Cluster, error) {
	key := identityKey{cluster, identity}
	s.lock.Lock()
	defer s.lock.Unlock()
	if found := s.identities[key]; found != nil {
		return found, nil
	}
	made, err := cluster.As(identity)
	if err != nil {
		return nil, err
	}
	s.identities[key] = made
	return made, nil
}

// stop ends the watches of all remote clusters.
func (s *sites) stop() {
	s.lock.Lock()
	defer s.lock.Unlock()
	for digest, site := range s.remote {
		site.Observer.Stop()
		delete(s.remote, digest)
	}
}

// siteOf returns the site that a unit used last, under our own identity.
func (s *sites) siteOf(owner object.Owner) pipeline.Site {
	s.lock.Lock()
	defer s.lock.Unlock()
	if digest, found := s.used[owner]; found {
		if site, found := s.remote[digest]; found {
			return site
		}
	}
	return s.local
}
