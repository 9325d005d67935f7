package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// follower keeps single objects at hand by watches. A missing object is nil without an error.
type follower interface {
	Get(ctx context.Context, ref object.Ref) (*unstructured.Unstructured, error)
}

// Reach says where a unit is delivered to, and as whom.
type Reach struct {
	Owner      object.Owner
	KubeConfig *meta.KubeConfigReference // nil is the cluster that the unit is in
	Account    string                    // serviceAccountName; empty is the default one
}

// SiteOptions are settings with the meaning of Flux's flags.
type SiteOptions struct {
	DefaultServiceAccount           string
	DefaultKubeConfigServiceAccount string
	InsecureKubeconfigTLS           bool
	// Observe makes an observer for a remote cluster.
	Observe func(*kube.Cluster) *observe.Observer
	// Requests is told of each request to a remote cluster; nil is nobody.
	Requests func(kube.Request)
	// Identities makes credentials for clusters at providers; nil makes none.
	Identities *identity.Source
}

// Sites are the clusters that units are delivered to: the one we run in, and remote ones that units
// name by a kubeconfig. A connection is shared by all units with the same kubeconfig and identity,
// and a remote one ends with the last unit that uses it.
type Sites struct {
	SiteOptions
	local      pipeline.Site
	follower   follower
	lock       sync.Mutex
	remote     map[[sha256.Size]byte]pipeline.Site
	identities map[identityKey]*kube.Cluster
	used       map[object.Owner][sha256.Size]byte
}

// NewSites knows the local cluster. What units name is read from a follower of its objects.
func NewSites(local pipeline.Site, follower follower, options SiteOptions) *Sites {
	return &Sites{
		SiteOptions: options, local: local, follower: follower,
		remote:     map[[sha256.Size]byte]pipeline.Site{},
		identities: map[identityKey]*kube.Cluster{},
		used:       map[object.Owner][sha256.Size]byte{},
	}
}

type identityKey struct {
	cluster *kube.Cluster
	as      kube.Identity
}

// Site returns where a unit is delivered to, under the identity that it may use there.
func (s *Sites) Site(ctx context.Context, u Reach) (pipeline.Site, error) {
	site := s.local
	if u.KubeConfig != nil {
		digest, config, err := s.elsewhere(ctx, u)
		if err != nil {
			return pipeline.Site{}, err
		}
		if site, err = s.reach(u.Owner, digest, config); err != nil {
			return pipeline.Site{}, fault.Because(meta.ReconciliationFailedReason, err)
		}
	}
	account := s.Account(u)
	if account == "" {
		return site, nil
	}
	cluster, err := s.as(site.Cluster, kube.ServiceAccount(u.Owner.Namespace, account))
	if err != nil {
		return pipeline.Site{}, fault.Because(meta.ReconciliationFailedReason, err)
	}
	return pipeline.Site{Cluster: cluster, Observer: site.Observer}, nil
}

// Account returns the name of the account that a unit acts as, or "" for our own rights.
func (s *Sites) Account(u Reach) string {
	switch {
	case u.Account != "":
		return u.Account
	case u.KubeConfig != nil && u.KubeConfig.ConfigMapRef != nil:
		return "" // the connection is an account's own
	case u.KubeConfig != nil:
		return s.DefaultKubeConfigServiceAccount
	default:
		return s.DefaultServiceAccount
	}
}

// MayAct checks that the account that a unit acts as is still there.
func (s *Sites) MayAct(ctx context.Context, u Reach) error {
	account := s.Account(u)
	if account == "" || u.KubeConfig != nil {
		return nil
	}
	ref := object.Ref{Version: "v1", Kind: "ServiceAccount", Namespace: u.Owner.Namespace, Name: account}
	_, err := s.local.Cluster.Get(ctx, ref)
	if apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) {
		return fault.Stall("", fmt.Errorf("the account to act as, %s/%s, is gone", u.Owner.Namespace, account))
	}
	return err
}

// elsewhere tells which cluster a unit names, and how to connect to it.
func (s *Sites) elsewhere(ctx context.Context, u Reach) ([sha256.Size]byte, func() (*rest.Config, error), error) {
	if u.KubeConfig.ConfigMapRef != nil {
		w, err := s.workloadOf(ctx, u)
		return w.digest(), func() (*rest.Config, error) { return w.config(ctx, s.local.Cluster, s.Identities) }, err
	}
	raw, err := s.kubeconfig(ctx, u)
	policy := kube.KubeconfigPolicy{InsecureTLS: s.InsecureKubeconfigTLS}
	return sha256.Sum256(raw), func() (*rest.Config, error) { return kube.FromKubeconfig(raw, policy) }, err
}

// kubeconfig reads the kubeconfig that a unit names.
func (s *Sites) kubeconfig(ctx context.Context, u Reach) ([]byte, error) {
	reference := u.KubeConfig.SecretRef
	if reference == nil {
		return nil, fault.Stall(meta.ReconciliationFailedReason, errors.New(
			"spec.kubeConfig names no cluster; name a Secret with secretRef, or a ConfigMap with configMapRef"))
	}
	secret, err := s.follower.Get(ctx, ConfigRef(u.Owner.Namespace, "Secret", reference.Name))
	if err != nil {
		return nil, fault.Because(meta.ReconciliationFailedReason, fmt.Errorf("reading kubeconfig Secret '%s/%s': %w", u.Owner.Namespace, reference.Name, err))
	}
	if secret == nil {
		return nil, fault.Wait(meta.ReconciliationFailedReason, 0, fmt.Errorf("kubeconfig Secret '%s/%s' not found", u.Owner.Namespace, reference.Name))
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
	return nil, fault.Wait(meta.ReconciliationFailedReason, 0, fmt.Errorf("kubeconfig Secret '%s/%s' has none of the keys %q", u.Owner.Namespace, reference.Name, keys))
}

// reach connects to a remote cluster, once for all units that have the same digest. The configuration is
// asked for without locks held: it may take a request.
func (s *Sites) reach(owner object.Owner, digest [sha256.Size]byte, configure func() (*rest.Config, error)) (pipeline.Site, error) {
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
		cluster, err := kube.Connect(config.Host, config, kube.Options{Observe: s.Requests})
		if err != nil {
			return pipeline.Site{}, err
		}
		site = pipeline.Site{Cluster: cluster, Observer: s.Observe(cluster)}
		s.remote[digest] = site
	}
	if before, moved := s.used[owner]; moved && before != digest {
		defer s.dropIfUnused(before)
	}
	s.used[owner] = digest
	return site, nil
}

// Leave ends a unit's use of a remote cluster.
func (s *Sites) Leave(owner object.Owner) {
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
func (s *Sites) dropIfUnused(digest [sha256.Size]byte) {
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
func (s *Sites) as(cluster *kube.Cluster, identity kube.Identity) (*kube.Cluster, error) {
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

// Start implements manager.Runnable: the watches of all remote clusters end when the manager does.
func (s *Sites) Start(ctx context.Context) error {
	<-ctx.Done()
	s.lock.Lock()
	defer s.lock.Unlock()
	for digest, site := range s.remote {
		site.Observer.Stop()
		delete(s.remote, digest)
	}
	return nil
}

// Of returns the site that a unit used last, under our own identity.
func (s *Sites) Of(owner object.Owner) pipeline.Site {
	s.lock.Lock()
	defer s.lock.Unlock()
	if digest, found := s.used[owner]; found {
		if site, found := s.remote[digest]; found {
			return site
		}
	}
	return s.local
}

// ConfigRef refers to a ConfigMap or a Secret.
func ConfigRef(namespace, kind, name string) object.Ref {
	return object.Ref{Version: "v1", Kind: kind, Namespace: namespace, Name: name}
}

// KubeConfigRefs returns the ConfigMaps and Secrets that tell how a cluster is reached.
func KubeConfigRefs(namespace string, config *meta.KubeConfigReference) []object.Ref {
	var refs []object.Ref
	if config != nil && config.SecretRef != nil {
		refs = append(refs, ConfigRef(namespace, "Secret", config.SecretRef.Name))
	}
	if config != nil && config.ConfigMapRef != nil {
		refs = append(refs, ConfigRef(namespace, "ConfigMap", config.ConfigMapRef.Name))
	}
	return refs
}
