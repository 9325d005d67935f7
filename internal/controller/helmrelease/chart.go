package helmrelease

import (
	"context"
	"errors"
	"fmt"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/model/revision"
	"holdfast.dev/holdfast/internal/stage/render/chart"
)

// chartInfo is what is told of the chart of a visit.
type chartInfo struct {
	name, version string
	ociDigest     string
	label         release.Label
	signature     string
}

// sourceOf names what the unit's chart comes from: what chartRef names, or the HelmChart of its template.
func sourceOf(u *helmv2.HelmRelease) delivery.Source {
	if ref := u.Spec.ChartRef; ref != nil {
		name := types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
		if name.Namespace == "" {
			name.Namespace = u.Namespace
		}
		return delivery.Source{Kind: ref.Kind, NamespacedName: name, Text: ref.Kind + "/" + name.String()}
	}
	if u.Spec.Chart == nil {
		return delivery.Source{}
	}
	name := types.NamespacedName{Namespace: u.Spec.Chart.GetNamespace(u.Namespace), Name: u.GetHelmChartName()}
	return delivery.Source{Kind: sourcev1.HelmChartKind, NamespacedName: name, Text: sourcev1.HelmChartKind + "/" + name.String()}
}

// artifact finds the artifact of the unit's chart.
func (v *visit) artifact(ctx context.Context) (*meta.Artifact, error) {
	source := sourceOf(v.unit)
	if source.Kind == "" {
		return nil, fault.Stall(meta.ArtifactFailedReason, errors.New("neither spec.chart nor spec.chartRef is set"))
	}
	if v.NoCrossNamespaceRefs && source.Namespace != v.unit.Namespace {
		return nil, fault.Stall(delivery.ReasonAccessDenied, fmt.Errorf(
			"can't access '%s', cross-namespace references have been blocked", source.Text))
	}
	if err := v.shape(ctx, source); err != nil {
		return nil, err
	}
	artifact, err := delivery.Artifact(ctx, v.Client, source)
	if err != nil || source.Kind != sourcev1.HelmChartKind {
		return artifact, err
	}
	var made sourcev1.HelmChart
	if err := v.Client.Get(ctx, source.NamespacedName, &made); err != nil {
		return nil, err
	}
	ready := apimeta.FindStatusCondition(made.Status.Conditions, meta.ReadyCondition)
	switch {
	case made.Status.ObservedGeneration != made.Generation && v.unit.Spec.Chart != nil:
		return nil, fault.Wait(reasonSourceNotReady, 0, fmt.Errorf("HelmChart '%s' is not ready: latest generation of object has not been reconciled", source.NamespacedName))
	case ready != nil && ready.Status == metav1.ConditionFalse && ready.ObservedGeneration == made.Generation && v.unit.Spec.Chart != nil && v.status.LastAttemptedGeneration != v.unit.Generation:
		// The chart of before is no answer to another wish.
		return nil, fault.Wait(reasonSourceNotReady, 0, fmt.Errorf("HelmChart '%s' is not ready: %s", source.NamespacedName, ready.Message))
	}
	return artifact, nil
}

const reasonSourceNotReady = "SourceNotReady"

// shape makes the HelmChart of the unit's template what the template says, and deletes one of a template
// that is another now.
func (v *visit) shape(ctx context.Context, source delivery.Source) error {
	wanted := ""
	if v.unit.Spec.Chart != nil {
		wanted = source.NamespacedName.String()
	}
	if v.status.HelmChart != "" && v.status.HelmChart != wanted {
		if err := v.unmake(ctx); err != nil {
			return err
		}
	}
	if v.status.HelmChart = wanted; wanted == "" {
		return nil
	}
	made := chartFor(v.unit, source.NamespacedName)
	var live sourcev1.HelmChart
	err := v.Client.Get(ctx, source.NamespacedName, &live)
	switch {
	case apierrors.IsNotFound(err):
		err = v.Client.Create(ctx, made, client.FieldOwner(Manager))
	case err == nil && !apiequality.Semantic.DeepDerivative(made.Spec, live.Spec) || err == nil && !holdsAll(live.Labels, made.Labels):
		changed := live.DeepCopy()
		changed.Spec = made.Spec
		if changed.Labels == nil {
			changed.Labels = map[string]string{}
		}
		for key, value := range made.Labels {
			changed.Labels[key] = value
		}
		err = v.Client.Patch(ctx, changed, client.MergeFrom(&live), client.FieldOwner(Manager))
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fault.Because(reasonSourceNotReady, fmt.Errorf("making HelmChart '%s': %w", source.NamespacedName, err))
	}
	return nil
}

func holdsAll(live, wanted map[string]string) bool {
	for key, value := range wanted {
		if live[key] != value {
			return false
		}
	}
	return true
}

// chartFor makes the HelmChart of a template.
func chartFor(u *helmv2.HelmRelease, name types.NamespacedName) *sourcev1.HelmChart {
	template := u.Spec.Chart
	made := &sourcev1.HelmChart{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, Labels: map[string]string{}},
		Spec: sourcev1.HelmChartSpec{
			Chart: template.Spec.Chart, Version: template.Spec.Version,
			SourceRef:         sourcev1.LocalHelmChartSourceReference{APIVersion: template.Spec.SourceRef.APIVersion, Kind: template.Spec.SourceRef.Kind, Name: template.Spec.SourceRef.Name},
			Interval:          template.GetInterval(u.Spec.Interval),
			ReconcileStrategy: template.Spec.ReconcileStrategy,
			ValuesFiles:       template.Spec.ValuesFiles, IgnoreMissingValuesFiles: template.Spec.IgnoreMissingValuesFiles,
		},
	}
	if made.Spec.Version == "" {
		made.Spec.Version = "*"
	}
	if made.Spec.ReconcileStrategy == "" {
		made.Spec.ReconcileStrategy = sourcev1.ReconcileStrategyChartVersion
	}
	if verify := template.Spec.Verify; verify != nil {
		made.Spec.Verify = &sourcev1.HelmChartVerification{Provider: verify.Provider, SecretRef: verify.SecretRef}
	}
	if meta := template.ObjectMeta; meta != nil {
		for key, value := range meta.Labels {
			made.Labels[key] = value
		}
		made.Annotations = meta.Annotations
	}
	made.Labels[object.HelmReleases.NameLabel()] = u.Name
	made.Labels[object.HelmReleases.NamespaceLabel()] = u.Namespace
	return made
}

// unmake deletes the HelmChart that the status names.
func (v *visit) unmake(ctx context.Context) error {
	namespace, name, found := strings.Cut(v.status.HelmChart, "/")
	if !found {
		return nil
	}
	err := v.Client.Delete(ctx, &sourcev1.HelmChart{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting HelmChart '%s': %w", v.status.HelmChart, err)
	}
	v.status.HelmChart = ""
	return nil
}

// describe says what the chart of an artifact is called. The version of one from an OCI registry tells which
// artifact it was, since tags move.
func describe(u *helmv2.HelmRelease, loaded *chart.Chart, artifact *meta.Artifact) chartInfo {
	about := loaded.Metadata()
	info := chartInfo{
		name: about.Name, version: about.Version,
		label:     release.Label{Origin: delivery.OriginRevision(artifact), Author: artifact.Metadata[revision.AuthorKey], Title: artifact.Metadata[revision.TitleKey]},
		signature: artifact.Metadata[revision.SignatureKey],
	}
	if _, digest, found := strings.Cut(artifact.Revision, "@sha256:"); found && u.Spec.ChartRef != nil && len(digest) > 12 {
		info.ociDigest = "sha256:" + digest
		plain, _, _ := strings.Cut(about.Version, "+")
		info.version = plain + "+" + digest[:12]
	}
	info.label.Revision = info.version
	return info
}
