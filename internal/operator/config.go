package operator

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/controller/kustomization"
	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/record/alert"
)

// The controllers that Config.Controllers can name.
const (
	GitRepositories  = "gitrepository"
	OCIRepositories  = "ocirepository"
	HelmRepositories = "helmrepository"
	HelmCharts       = "helmchart"
	Kustomizations   = "kustomization"
	HelmReleases     = "helmrelease"
	Receivers        = "receiver"
	Notifications    = "notification" // Alerts and Providers
)

// Controllers lists all controllers, in the order of the line.
func Controllers() []string {
	return []string{GitRepositories, OCIRepositories, HelmRepositories, HelmCharts, Kustomizations, HelmReleases, Receivers, Notifications}
}

// Config is what the daemon is told. The zero value of a field means what its comment says.
type Config struct {
	// REST reaches the cluster. Required.
	REST *rest.Config
	// Dir is where artifacts and Git objects are kept. Empty means a folder in the user's cache.
	Dir string
	// Controllers names the kinds to serve; empty means all.
	Controllers []string
	// Namespaces limits what is served; empty means all namespaces.
	Namespaces []string
	// WatchSelector limits what is served to resources with these labels (Flux's
	// --watch-label-selector); empty means all.
	WatchSelector string

	// MetricsAddress, HealthAddress and ProfileAddress are where to listen; "0" or empty is nowhere.
	MetricsAddress, HealthAddress, ProfileAddress string
	// ArtifactAddress is where artifacts are served; empty means a free port on loopback.
	ArtifactAddress string
	// ArtifactHost is the host and port that statuses name for artifacts; empty means where we listen.
	ArtifactHost string
	// ReceiverAddress is where webhooks are answered; "0" or empty is nowhere.
	ReceiverAddress string

	// AuditAddress is where the audit log is read by those who may; "0" or empty is nowhere.
	AuditAddress string

	// LeaderElection makes sure that one replica works at a time, through a lease in Namespace.
	LeaderElection bool
	// Namespace is the one that the daemon itself lives in; empty means flux-system.
	Namespace string
	// PolicyExceptionNamespaces are those whose policy exceptions are honoured; an asterisk is all. Empty
	// means flux-system and kyverno.
	PolicyExceptionNamespaces []string
	// InstallCRDs applies the definitions of all kinds before anything else.
	InstallCRDs bool

	// Jitter is the share of each interval that is spread at random, 0 to 1.
	Jitter         float64
	Kustomizations kustomization.Options
	// AgeSecret names the Secret in Namespace with age keys for units that ask for decryption and name
	// no Secret of their own (Flux's --sops-age-secret); empty means none.
	AgeSecret string
	// VaultConfigMap names the ConfigMap in Namespace with the Vaults that identities of units may log in to
	// (Flux's --sops-vault-configmap); empty means none.
	VaultConfigMap string
	// Identity says who gets credentials of providers.
	Identity identity.Options
	// TakeOver names further field managers whose fields become ours (Flux's --override-manager).
	TakeOver []string
	// StageKinds are "group/Kind" pairs that are applied in a stage of their own before the rest
	// (Flux's --custom-apply-stage-kinds).
	StageKinds []string

	// Audit says where and how is recorded what happens.
	Audit Audit
	// EventsAddress is where other controllers may post their events; "0" or empty is nowhere. Only the
	// leader listens.
	EventsAddress string
	// ForwardEvents is the address of another notification controller, which is told of our events too
	// (--events-addr of Flux's other controllers); empty is none.
	ForwardEvents string
	// LoopbackAlerts lets Providers name addresses of this machine.
	LoopbackAlerts bool
	AlertLimits    alert.Limits

	// Environment is read for what OpenTelemetry's variables say of traces; nil says nothing.
	Environment func(name string) (string, bool)
	// Version is the program's, for traces.
	Version string

	Log logr.Logger
}

// complete checks the settings and fills in what they leave open.
func (c Config) complete() (Config, error) {
	if c.REST == nil {
		return c, errors.New("starting: no cluster was given")
	}
	if len(c.Controllers) == 0 {
		c.Controllers = Controllers()
	}
	for _, name := range c.Controllers {
		if !slices.Contains(Controllers(), name) {
			return c, fmt.Errorf("starting: there is no controller %q; there are %s", name, strings.Join(Controllers(), ", "))
		}
	}
	if c.Dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return c, fmt.Errorf("starting: no folder for artifacts: %w", err)
		}
		c.Dir = filepath.Join(cache, "holdfast")
	}
	if c.Namespace == "" {
		c.Namespace = "flux-system"
	}
	if c.AgeSecret != "" {
		c.Kustomizations.AgeSecret = types.NamespacedName{Namespace: c.Namespace, Name: c.AgeSecret}
	}
	if c.VaultConfigMap != "" {
		c.Kustomizations.VaultConfigMap = types.NamespacedName{Namespace: c.Namespace, Name: c.VaultConfigMap}
	}
	if isURL(c.EventsAddress) { // Flux's other controllers are told with this flag where to post
		if c.ForwardEvents == "" {
			c.ForwardEvents = c.EventsAddress
		}
		c.EventsAddress = ""
	}
	if c.Log.GetSink() == nil {
		c.Log = logr.Discard()
	}
	return c, nil
}

func (c Config) serves(name string) bool { return slices.Contains(c.Controllers, name) }
