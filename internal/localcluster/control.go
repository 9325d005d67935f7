package localcluster

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/component-base/configz"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	controlconfig "k8s.io/kubernetes/cmd/kube-controller-manager/app/config"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	schedulerapp "k8s.io/kubernetes/cmd/kube-scheduler/app"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"
)

// idleControllers do nothing useful on simulated nodes, and some of them look around all the time.
const idleControllers = "*," +
	"-persistentvolume-attach-detach-controller," + // ten times a second, for volumes that nobody mounts
	"-persistentvolume-expander-controller," +
	"-node-ipam-controller," +
	"-ttl-controller," + // how long a kubelet may cache secrets
	"-device-taint-eviction-controller," +
	"-legacy-serviceaccount-token-cleaner-controller," +
	"-bootstrap-signer-controller," +
	"-token-cleaner-controller"

// runControllerManager runs Kubernetes' controllers until ctx ends.
func runControllerManager(ctx context.Context, f folder) error {
	config, err := controllerManagerConfig(ctx, f)
	if err != nil {
		return fmt.Errorf("configuring the controller manager: %w", err)
	}
	// The component registers its configuration in a package variable and never takes it back.
	defer configz.Delete(app.ConfigzName)
	err = app.Run(ctx, config.Complete())
	if ctx.Err() != nil {
		return nil
	}
	return unexpected(err)
}

func controllerManagerConfig(ctx context.Context, f folder) (*controlconfig.Config, error) {
	manager, err := options.NewKubeControllerManagerOptions()
	if err != nil {
		return nil, err
	}
	known, disabled, aliases := app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases()
	err = setFlags(manager.Flags(known, disabled, aliases), map[string]string{
		"kubeconfig":                       f.componentConfig("controller-manager"),
		"secure-port":                      "0",
		"leader-elect":                     "false",
		"controllers":                      idleControllers,
		"kube-api-qps":                     "1000",
		"kube-api-burst":                   "2000",
		"use-service-account-credentials":  "false",
		"root-ca-file":                     f.pem("ca.crt"),
		"service-account-private-key-file": f.pem("service-account.key"),
		"cluster-signing-cert-file":        f.pem("ca.crt"),
		"cluster-signing-key-file":         f.pem("ca.key"),
		"service-cluster-ip-range":         serviceRange,
		// Simulated nodes send no heartbeats, which would be writes at rest; so silence must not mean death.
		"node-monitor-grace-period":   "87600h",
		"node-monitor-period":         "10s",
		"node-startup-grace-period":   "87600h",
		"profiling":                   "false",
		"controller-shutdown-timeout": "2s",
		"enable-dynamic-provisioning": "true",
		"pvclaimbinder-sync-period":   "5s",
	})
	if err != nil {
		return nil, err
	}
	return manager.Config(ctx, known, disabled, aliases)
}

// runScheduler schedules Pods until ctx ends.
func runScheduler(ctx context.Context, f folder) error {
	scheduler := scheduleroptions.NewOptions()
	err := setFlags(*scheduler.Flags, map[string]string{
		"kubeconfig":     f.componentConfig("scheduler"),
		"secure-port":    "0",
		"leader-elect":   "false",
		"kube-api-qps":   "1000",
		"kube-api-burst": "2000",
		"profiling":      "false",
	})
	if err != nil {
		return fmt.Errorf("configuring the scheduler: %w", err)
	}
	config, instance, err := schedulerapp.Setup(ctx, scheduler)
	if err != nil {
		return fmt.Errorf("configuring the scheduler: %w", err)
	}
	defer configz.Delete("componentconfig")
	err = schedulerapp.Run(ctx, config, instance)
	if ctx.Err() != nil {
		return nil
	}
	return unexpected(err)
}

// unexpected is the error of a component that ended although nobody asked it to.
func unexpected(err error) error {
	if err == nil {
		return errors.New("it ended by itself")
	}
	return err
}
