package helmchart

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/revision"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/stage/source/helm"
	"holdfast.dev/holdfast/internal/store"
)

// work is how long one look may take, with all downloads.
const work = 5 * time.Minute

// Flux's reasons for a chart that could not be built, and what it says before them.
var (
	pullError       = kind{"ChartPullError", "chart pull error", false, sourcev1.FetchFailedCondition}
	referenceError  = kind{"InvalidChartReference", "invalid chart reference", true, sourcev1.FetchFailedCondition}
	metadataError   = kind{"MetadataPatchError", "chart metadata patch error", true, sourcev1.BuildFailedCondition}
	valuesError     = kind{"ValuesFilesError", "values files merge error", true, sourcev1.BuildFailedCondition}
	dependencyError = kind{"DependencyBuildError", "dependency build error", false, sourcev1.BuildFailedCondition}
	packageError    = kind{"ChartPackageError", "chart package error", true, sourcev1.BuildFailedCondition}
)

// kind is what went wrong: for good says that only a new spec, or a new artifact of the source, can help.
type kind struct {
	reason, summary string
	forGood         bool
	condition       string
}

func (k kind) failed(o outcome, err error) outcome {
	err = fmt.Errorf("%s: %w", k.summary, err)
	if k.forGood {
		return o.Failed(k.condition, fault.Stall(k.reason, err))
	}
	return o.Failed(k.condition, fault.Because(fault.ReasonOf(err, k.reason), err))
}

// run brings the artifact up to date with the source.
func (c *Controller) run(ctx context.Context, object *sourcev1.HelmChart, o outcome) outcome {
	ctx, cancel := context.WithTimeout(ctx, work)
	defer cancel()
	if object.Spec.Verify != nil {
		return o.Failed(sourcev1.SourceVerifiedCondition, fault.Stall(sourcev1.VerificationError,
			errors.New("chart verification error: signatures of charts cannot be verified in this version: use an OCIRepository with spec.verify, and name it in the HelmRelease's chartRef")))
	}
	name := types.NamespacedName{Namespace: object.Namespace, Name: object.Spec.SourceRef.Name}
	if object.Spec.SourceRef.Kind == sourcev1.HelmRepositoryKind {
		var repository sourcev1.HelmRepository
		if err := c.Client.Get(ctx, name, &repository); err != nil {
			return o.Failed(sourcev1.FetchFailedCondition, unavailable(err))
		}
		return c.fromRepository(ctx, object, &repository, o)
	}
	artifact, err := c.artifactOf(ctx, object.Spec.SourceRef.Kind, name)
	if err != nil {
		return o.Failed(sourcev1.FetchFailedCondition, unavailable(err))
	}
	if artifact == nil {
		return noArtifact(object, o)
	}
	return c.fromTree(ctx, object, artifact, o)
}

func unavailable(err error) error {
	return fault.Wait("SourceUnavailable", 0, fmt.Errorf("failed to get source: %w", err))
}

func noArtifact(object *sourcev1.HelmChart, o outcome) outcome {
	return o.Failed(sourcev1.FetchFailedCondition, fault.Wait("NoSourceArtifact", 0,
		fmt.Errorf("no artifact available for %s source '%s'", object.Spec.SourceRef.Kind, object.Spec.SourceRef.Name)))
}

func (c *Controller) artifactOf(ctx context.Context, kind string, name types.NamespacedName) (*meta.Artifact, error) {
	switch kind {
	case sourcev1.GitRepositoryKind:
		var object sourcev1.GitRepository
		err := c.Client.Get(ctx, name, &object)
		return object.Status.Artifact, err
	case sourcev1.BucketKind:
		var object sourcev1.Bucket
		err := c.Client.Get(ctx, name, &object)
		return object.Status.Artifact, err
	default:
		return nil, fmt.Errorf("unsupported source kind '%s'", kind)
	}
}

// valuesFilesOf returns the files to merge; the chart's own values.yaml alone is what it has anyway.
func valuesFilesOf(object *sourcev1.HelmChart) []string {
	files := object.Spec.ValuesFiles
	if len(files) == 1 && path.Clean(files[0]) == "values.yaml" {
		return nil
	}
	return files
}

// build returns the build metadata of the version that the artifact gets, so that those who use it notice.
func build(object *sourcev1.HelmChart, artifact *meta.Artifact) string {
	var marks []string
	if artifact != nil && object.Spec.ReconcileStrategy == sourcev1.ReconcileStrategyRevision {
		_, digest := revision.Split(artifact.Revision)
		if _, hex, found := strings.Cut(digest, ":"); found {
			digest = hex
		}
		marks = append(marks, digest[:min(12, len(digest))])
	}
	if len(valuesFilesOf(object)) > 0 {
		marks = append(marks, strconv.FormatInt(object.Generation, 10))
	}
	return strings.Join(marks, ".")
}

// known tells whether the artifact is what a build would give.
func known(object *sourcev1.HelmChart, o outcome) bool {
	return o.Artifact.HasRevision(o.Facts.version) && object.Status.ObservedChartName == o.Facts.name &&
		object.Generation == object.Status.ObservedGeneration
}

// fromTree builds the chart of another source's artifact.
func (c *Controller) fromTree(ctx context.Context, object *sourcev1.HelmChart, artifact *meta.Artifact, o outcome) outcome {
	o.Facts.source = artifact.Revision
	files, err := c.trees(ctx, artifact)
	if err != nil {
		return o.Failed(sourcev1.FetchFailedCondition, fault.Because(sourcev1.ReadOperationFailedReason, fmt.Errorf("opening the source's artifact: %w", err)))
	}
	metadata, err := helm.Describe(files, object.Spec.Chart)
	if err != nil {
		return referenceError.failed(o, err)
	}
	version, err := helm.Tagged(metadata.Version, build(object, artifact))
	if err != nil {
		return metadataError.failed(o, err)
	}
	_, isFile := files.Index().Find(object.Spec.Chart)
	o.Facts.name, o.Facts.version, o.Revision = metadata.Name, version, record.Revision{Name: version}
	if known(object, o) {
		o.Facts.packaged = !isFile || version != metadata.Version
		o.Facts.valuesFiles = object.Status.ObservedValuesFiles
		return o
	}
	chart, err := helm.Open(files, object.Spec.Chart)
	if err != nil {
		return packageError.failed(o, err)
	}
	if names := valuesFilesOf(object); len(names) > 0 {
		if err := chart.MergeValues(names, object.Spec.IgnoreMissingValuesFiles, files.Read); err != nil {
			return valuesError.failed(o, err)
		}
	}
	if !isFile {
		if err := chart.AddDependencies(ctx, files, object.Spec.Chart, c.dependencies(object.Namespace)); err != nil {
			return dependencyError.failed(o, err)
		}
	}
	return c.keep(ctx, object, chart, o)
}

// keep stores a chart as the artifact.
func (c *Controller) keep(ctx context.Context, object *sourcev1.HelmChart, chart *helm.Chart, o outcome) outcome {
	if err := chart.SetVersion(o.Facts.version); err != nil {
		return metadataError.failed(o, err)
	}
	o.Facts.packaged, o.Facts.valuesFiles = chart.Packaged, chart.ValuesFiles
	snapshot := store.Snapshot{Revision: o.Facts.version, Entries: chart.Entries(), Open: chart.Read}
	artifact, err := c.shelf.Put(ctx, object, chart.Metadata.Name+"-"+o.Facts.version, snapshot, o.Artifact)
	if err != nil {
		return o.Failed(sourcev1.StorageOperationFailedCondition, err)
	}
	o.Artifact = artifact
	return o
}
