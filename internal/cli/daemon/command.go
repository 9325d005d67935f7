package daemon

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"holdfast.dev/holdfast/internal/cli/daemon/memory"
	"holdfast.dev/holdfast/internal/controller/kustomization"
	"holdfast.dev/holdfast/internal/operator"
	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/database"
)

// flags are what the command line says. The comment of each names Flux's meaning where it differs.
type flags struct {
	config        operator.Config
	allNamespaces bool
	concurrent    int
	jitter        int
	logLevel      string
	logEncoding   string
	gates         map[string]string
	auditStore    string
	auditMode     string
}

// New makes the command. reach says which cluster to serve; the logs go to out.
func New(out io.Writer, reach func() (*rest.Config, error)) *cobra.Command {
	f := &flags{}
	command := &cobra.Command{
		Use:   "controller",
		Short: "Run the controller alone, against any cluster",
		Long: "Run the controller alone, against the cluster of the kubeconfig or of the pod that it runs in.\n" +
			"Flags have the names and the meaning of Flux's own controllers where there is one.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := reach()
			if err != nil {
				return err
			}
			return f.run(command.Context(), out, config)
		},
	}
	f.register(command)
	return command
}

func (f *flags) register(command *cobra.Command) {
	set := command.Flags()
	set.StringSliceVar(&f.config.Controllers, "controllers", nil, "kinds to serve: "+strings.Join(operator.Controllers(), ", ")+" (default all)")
	set.StringVar(&f.config.Dir, "storage-path", os.Getenv("STORAGE_PATH"), "folder for artifacts and Git objects (default: holdfast in the user's cache folder)")
	set.StringVar(&f.config.ArtifactAddress, "storage-addr", envOr("STORAGE_ADDR", ":9090"), "address to serve artifacts on")
	set.StringVar(&f.config.ArtifactHost, "storage-adv-addr", os.Getenv("STORAGE_ADV_ADDR"), "host and port that statuses name for artifacts (default: where they are served)")
	set.StringVar(&f.config.MetricsAddress, "metrics-addr", ":8080", "address to serve metrics on; 0 is nowhere")
	set.StringVar(&f.config.ReceiverAddress, "receiverAddr", ":9292", "address to answer webhooks on; 0 is nowhere")
	set.StringVar(&f.config.HealthAddress, "health-addr", ":9440", "address to serve health checks on; 0 is nowhere")
	set.StringVar(&f.config.ProfileAddress, "pprof-addr", "0", "address to serve profiles (net/http/pprof) on; 0 is nowhere")
	set.BoolVar(&f.config.LeaderElection, "enable-leader-election", false, "make sure that one replica works at a time")
	set.StringVar(&f.config.Namespace, "runtime-namespace", os.Getenv("RUNTIME_NAMESPACE"), "namespace that the controller lives in (default flux-system)")
	set.BoolVar(&f.allNamespaces, "watch-all-namespaces", true, "serve all namespaces; otherwise the runtime namespace alone")
	set.StringVar(&f.config.WatchSelector, "watch-label-selector", "", "serve resources with these labels alone, for shards")
	set.BoolVar(&f.config.InstallCRDs, "install-crds", false, "apply the definitions of all kinds before anything else")
	set.IntVar(&f.concurrent, "concurrent", 0, "units worked on at once (default 20)")
	set.IntVar(&f.jitter, "interval-jitter-percentage", 5, "share of each interval that is spread at random")

	set.StringVar(&f.config.EventsAddress, "events-addr", "0", "address to take the events of other controllers on; 0 is nowhere; a URL means --forward-events-to")
	set.StringVar(&f.config.ForwardEvents, "forward-events-to", "", "URL of another notification controller that is told of our events, too")
	set.DurationVar(&f.config.AlertLimits.Repeat, "rate-limit-interval", 5*time.Minute, "time within which the same event is told once")
	set.DurationVar(&f.config.AlertLimits.Reminder, "alert-reminder-interval", 24*time.Hour, "time after which a failure that goes on is told again when it comes up")
	set.DurationVar(&f.config.AlertLimits.Age, "alert-max-age", 24*time.Hour, "time after which a message that cannot be delivered is given up")
	set.BoolVar(&f.config.LoopbackAlerts, "allow-loopback-alerts", false, "allow Providers to name addresses of the controller's own machine")

	units := &f.config.Kustomizations
	set.BoolVar(&units.NoCrossNamespaceRefs, "no-cross-namespace-refs", false, "refuse references to other namespaces")
	set.StringVar(&units.DefaultServiceAccount, "default-service-account", "", "account to act as where a unit names none")
	set.StringVar(&units.DefaultKubeConfigServiceAccount, "default-kubeconfig-service-account", "", "account to act as in remote clusters where a unit names none, and whose tokens a kubeConfig.configMapRef without an account uses")
	set.BoolVar(&units.InsecureKubeconfigTLS, "insecure-kubeconfig-tls", false, "allow kubeconfigs of remote clusters not to verify the server")
	set.BoolVar(&units.Releases.NoRollback, "no-rollback", false, "leave failed releases in the cluster, unless a unit asks for rollback by annotation")
	set.DurationVar(&units.Releases.Bake, "bake", time.Minute, "how long a release has to stay healthy to be good; a negative duration is none")
	set.StringVar(&f.config.AgeSecret, "sops-age-secret", "", "Secret of the runtime namespace with age keys for units that name none")
	set.StringVar(&f.config.VaultConfigMap, "sops-vault-configmap", "", "ConfigMap of the runtime namespace with the Vaults that units may log in to as a ServiceAccount")
	set.StringVar(&units.DefaultDecryptionServiceAccount, "default-decryption-service-account", "", "account whose identity key services are asked with where a unit names none")
	set.BoolVar(&f.config.Identity.Own, "allow-controller-identity", false, "let resources that name no account use the identity of the controller's own pod at cloud providers, with all of its rights")
	set.StringSliceVar(&units.Decryption.Reach.Vaults, "sops-vault-addresses", nil, "addresses of the only Vaults that may be asked for keys (default any that is not on this machine or its link)")
	set.BoolVar(&units.Decryption.IgnoreMAC, "sops-ignore-mac", false, "decrypt files that were changed after SOPS encrypted them, as Flux does")
	set.StringArrayVar(&f.config.TakeOver, "override-manager", nil, "field manager whose fields become ours; may be repeated")
	set.StringSliceVar(&f.config.StageKinds, "custom-apply-stage-kinds", nil, "group/Kind pairs to apply in a stage of their own before the rest")
	set.StringSliceVar(&f.config.PolicyExceptionNamespaces, "policy-exception-namespaces", nil, "namespaces whose policy exceptions are honoured, * for all (default flux-system,kyverno)")
	set.StringToStringVar(&f.gates, "feature-gates", nil, "StrictPostBuildSubstitutions=true|false, AdditiveCELDependencyCheck=true|false")

	set.StringVar(&f.auditStore, "audit-store", "", "file or postgres:// URL of the record store (default: $AUDIT_STORE, or "+operator.RecordFile+" in the storage path)")
	set.StringVar(&f.auditMode, "audit-mode", string(audit.Required), "what follows when the record store is down: required stops deliveries, best-effort goes on and keeps records in memory")
	set.DurationVar(&f.config.Audit.Age, "audit-retention", 0, "age after which the contents of records are dropped; 0 keeps them")
	set.Int64Var(&f.config.Audit.Count, "audit-keep", 0, "number of records whose contents are kept; 0 keeps all")
	set.StringVar(&f.config.AuditAddress, "audit-addr", "0", "address to answer those who may read the record; 0 is nowhere")
	set.StringVar(&f.config.Audit.GitDir, "audit-git-anchor", "", "bare Git repository (a folder) to keep checkpoints in, as refs/holdfast/audit")

	set.StringVar(&f.logLevel, "log-level", "info", "trace, debug, info or error")
	set.StringVar(&f.logEncoding, "log-encoding", "json", "json or console")
}

func envOr(name, otherwise string) string {
	if value, found := os.LookupEnv(name); found {
		return value
	}
	return otherwise
}

func (f *flags) run(ctx context.Context, out io.Writer, reach *rest.Config) error {
	logger, err := f.logger(out)
	if err != nil {
		return err
	}
	log.SetLogger(logger)
	klog.SetLogger(logger)
	if err := f.complete(); err != nil {
		return err
	}
	if err := memory.Close(); err != nil {
		return err
	}
	f.config.REST, f.config.Log, f.config.Environment = reach, logger, os.LookupEnv
	if built, found := debug.ReadBuildInfo(); found {
		f.config.Version = built.Main.Version
	}
	daemon, err := operator.New(ctx, f.config)
	if err != nil {
		return err
	}
	return daemon.Run(ctx)
}

// complete turns flags that are not settings themselves into settings.
func (f *flags) complete() error {
	if f.jitter < 0 || f.jitter > 100 {
		return fmt.Errorf("--interval-jitter-percentage is %d: it must be between 0 and 100", f.jitter)
	}
	f.config.Jitter = float64(f.jitter) / 100
	units := &f.config.Kustomizations
	units.IntervalJitter, units.Concurrent = f.config.Jitter, f.concurrent
	if !f.allNamespaces {
		namespace := f.config.Namespace
		if namespace == "" {
			namespace = "flux-system"
		}
		f.config.Namespaces = []string{namespace}
	}
	if err := f.completeAudit(); err != nil {
		return err
	}
	return f.openGates(units)
}

func (f *flags) completeAudit() error {
	settings := &f.config.Audit
	settings.Mode = audit.Mode(f.auditMode)
	if settings.Mode != audit.Required && settings.Mode != audit.BestEffort {
		return fmt.Errorf("--audit-mode %s: it must be %s or %s", f.auditMode, audit.Required, audit.BestEffort)
	}
	named := f.auditStore
	if named == "" {
		named = os.Getenv("AUDIT_STORE") // not the flag's default, which --help would show, with its password
	}
	if named == "" {
		return nil
	}
	place, err := database.ParsePlace(named)
	if err != nil {
		return fmt.Errorf("--audit-store: %w", err)
	}
	settings.Store = place
	return nil
}

// openGates reads the feature gates that mean something here; the others of Flux are accepted, so
// that its manifests work, and have no effect.
func (f *flags) openGates(units *kustomization.Options) error {
	for name, value := range f.gates {
		on := value == "true"
		if !on && value != "false" {
			return fmt.Errorf("--feature-gates %s=%s: the value must be true or false", name, value)
		}
		switch name {
		case "StrictPostBuildSubstitutions":
			units.LenientSubstitutions = !on
		case "AdditiveCELDependencyCheck":
			units.AdditiveCELDependencyCheck = on
		}
	}
	return nil
}

// logger makes the logger that was asked for.
func (f *flags) logger(out io.Writer) (logr.Logger, error) {
	levels := map[string]zapcore.Level{"trace": -2, "debug": zapcore.DebugLevel, "info": zapcore.InfoLevel, "error": zapcore.ErrorLevel}
	level, known := levels[f.logLevel]
	if !known {
		return logr.Discard(), fmt.Errorf("--log-level %s: it must be trace, debug, info or error", f.logLevel)
	}
	options := []zap.Opts{zap.WriteTo(out), zap.Level(level)}
	switch f.logEncoding {
	case "json":
		options = append(options, zap.JSONEncoder(func(c *zapcore.EncoderConfig) { c.EncodeTime = zapcore.ISO8601TimeEncoder }))
	case "console":
		options = append(options, zap.ConsoleEncoder())
	default:
		return logr.Discard(), fmt.Errorf("--log-encoding %s: it must be json or console", f.logEncoding)
	}
	return zap.New(options...), nil
}
