package helmrelease

import (
	"context"
	"errors"
	"fmt"
	"slices"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"holdfast.dev/holdfast/internal/helm"
	"holdfast.dev/holdfast/internal/helm/storage"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/pipeline"
)

// finalize uninstalls the release of a unit that is deleted, and lets it go. What cannot be deleted for want
// of the rights to do so is left, so that the unit does not hang for ever.
func (v *visit) finalize(ctx context.Context) (ctrl.Result, error) {
	if !slices.Contains(v.unit.Finalizers, helmv2.HelmReleaseFinalizer) {
		return ctrl.Result{}, nil
	}
	if err := v.unmake(ctx); err != nil {
		return ctrl.Result{}, err
	}
	if v.unit.Spec.Suspend || len(v.status.History) == 0 && len(inventoryOf(&v.status)) == 0 {
		return ctrl.Result{}, v.letGo(ctx)
	}
	site, err := v.sites.Site(ctx, reachOf(v.unit))
	if err == nil {
		err = v.sites.MayAct(ctx, reachOf(v.unit))
	}
	if err != nil {
		if fault.KindOf(err) == fault.Transient {
			return ctrl.Result{}, err
		}
		v.tell(corev1.EventTypeWarning, "unable to uninstall the release: "+err.Error())
		return ctrl.Result{}, v.letGo(ctx)
	}
	out, err := v.uninstall(ctx, site)
	switch {
	case err != nil:
		v.tell(corev1.EventTypeWarning, fmt.Sprintf("Helm uninstall failed for release %s: %s", v.release(0), err))
		return ctrl.Result{}, err
	case out.Phase == pipeline.Parked:
		return ctrl.Result{RequeueAfter: out.After}, nil
	}
	v.tell(corev1.EventTypeNormal, "Helm uninstall succeeded for release "+v.release(0))
	return ctrl.Result{}, v.letGo(ctx)
}

// uninstall deletes what the latest release of the history brought, and its records. Parked means that it is
// not through.
func (v *visit) uninstall(ctx context.Context, site pipeline.Site) (pipeline.Outcome, error) {
	settings := v.unit.GetUninstall()
	name, namespace := releaseName(v.unit), v.unit.GetStorageNamespace()
	if latest := v.status.History.Latest(); latest != nil {
		name = latest.Name
	}
	if v.status.StorageNamespace != "" {
		namespace = v.status.StorageNamespace
	}
	out := v.Line.Retire(ctx, pipeline.Farewell{
		Unit: ownerOf(v.unit), Site: site, Inventory: inventoryOf(&v.status),
		Await: !settings.DisableWait, Foreground: settings.GetDeletionPropagation() == "foreground",
		Orphan: settings.GetDeletionPropagation() == "orphan",
		Hooks:  hooksOf(v.unit), Timeout: settings.GetTimeout(v.unit.GetTimeout()).Duration,
	})
	switch out.Phase {
	case pipeline.Failed:
		return out, out.Err
	case pipeline.Parked:
		v.status.Inventory = inventoryTo(out.Inventory)
		since := v.unit.DeletionTimestamp
		if since == nil {
			since = &metav1.Time{Time: v.started}
		}
		if waited := v.now().Sub(since.Time); waited < settings.GetTimeout(v.unit.GetTimeout()).Duration {
			return out, nil
		}
		out.Phase = pipeline.Done
		v.tell(corev1.EventTypeWarning, "gave up waiting for resources termination: "+out.Message)
	}
	records, err := storage.Open(site.Cluster, namespace)
	if err == nil {
		err = helm.Uninstalled(ctx, records, name, settings.KeepHistory)
	}
	return out, err
}

// moved uninstalls a release that is to have another name, place or chart: the next one is an install.
func (v *visit) moved(ctx context.Context, job *pipeline.Job) error {
	latest := v.status.History.Latest()
	if latest == nil {
		return nil
	}
	why := ""
	switch {
	case v.status.StorageNamespace != "" && v.status.StorageNamespace != v.unit.GetStorageNamespace():
		why = "storage namespace"
	case latest.Namespace != v.unit.GetReleaseNamespace():
		why = "target namespace"
	case latest.Name != releaseName(v.unit):
		why = "release name"
	case latest.ChartName != v.chart.name && v.unit.GetUpgrade().GetChartNameChangeStrategy() == helmv2.ChartNameChangeStrategyReinstall:
		why = "chart name"
	default:
		return nil
	}
	out, err := v.uninstall(ctx, job.Site)
	if err != nil {
		return fault.Because(helmv2.UninstallFailedReason, err)
	}
	if out.Phase == pipeline.Parked {
		return fault.Wait("Progressing", out.After, errors.New("uninstalling "+latest.FullReleaseName()+", since the "+why+" is another one: "+out.Message))
	}
	v.tell(corev1.EventTypeNormal, fmt.Sprintf("Helm uninstall succeeded for release %s, since the %s is another one", latest.FullReleaseName(), why))
	owner := ownerOf(v.unit)
	if err := v.Line.Bury(ctx, owner); err != nil {
		return err
	}
	v.drop(owner)
	*v.memo = memo{}
	v.helm.Book = &v.memo.book
	v.status.ClearHistory()
	v.status.ClearFailures()
	v.status.Inventory = nil
	if err := v.save(ctx); err != nil {
		return err
	}
	return fault.Wait("Progressing", 1, errors.New("the release is uninstalled, and installed anew"))
}
