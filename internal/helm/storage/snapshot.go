package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	helmchart "helm.sh/helm/v4/pkg/chart/v2"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"

	"holdfast.dev/holdfast/internal/stage/render/chart/values"
)

// SnapshotVersion says how a Snapshot's digest is made; it is Flux's name for it.
const SnapshotVersion = "v2"

// Snapshot is what the status of a HelmRelease tells of one record, with the meaning that Flux gives it.
type Snapshot struct {
	Digest, ConfigDigest                 string
	Name, Namespace, Status              string
	Version                              int
	ChartName, ChartVersion, AppVersion  string
	OCIDigest                            string
	FirstDeployed, LastDeployed, Deleted time.Time
	// Tests are the runs of the hooks that test the release, by name; nil where there is no such hook.
	Tests map[string]helmrelease.HookExecution
}

// observed is what the digest of a record is taken over: Flux's, with the same names in the same order. The
// hooks that test are left out, because anybody may run them.
type observed struct {
	Name          string             `json:"name"`
	Version       int                `json:"version"`
	Info          helmrelease.Info   `json:"info"`
	ChartMetadata helmchart.Metadata `json:"chartMetadata"`
	Config        map[string]any     `json:"config"`
	Manifest      string             `json:"manifest"`
	Hooks         []helmrelease.Hook `json:"hooks"`
	Namespace     string             `json:"namespace"`
	OCIDigest     string             `json:"ociDigest"`
}

// Observe makes the snapshot of a record. The digest of the OCI artifact that its chart came from is no part of
// a record, so it is given.
func Observe(record *helmrelease.Release, ociDigest string) (Snapshot, error) {
	seen := observed{
		Name: record.Name, Version: record.Version, Manifest: record.Manifest,
		Namespace: record.Namespace, OCIDigest: ociDigest,
	}
	if record.Info != nil {
		seen.Info = *record.Info
	}
	if record.Chart != nil && record.Chart.Metadata != nil {
		seen.ChartMetadata = *record.Chart.Metadata
	}
	if len(record.Config) > 0 {
		seen.Config = record.Config
	}
	snapshot := Snapshot{
		Name: record.Name, Namespace: record.Namespace, Version: record.Version, Status: seen.Info.Status.String(),
		ChartName: seen.ChartMetadata.Name, ChartVersion: seen.ChartMetadata.Version, AppVersion: seen.ChartMetadata.AppVersion,
		FirstDeployed: seen.Info.FirstDeployed, LastDeployed: seen.Info.LastDeployed, Deleted: seen.Info.Deleted,
		OCIDigest: ociDigest,
	}
	for _, hook := range record.Hooks {
		if !slices.Contains(hook.Events, helmrelease.HookTest) {
			seen.Hooks = append(seen.Hooks, *hook)
			continue
		}
		if snapshot.Tests == nil {
			snapshot.Tests = map[string]helmrelease.HookExecution{}
		}
		snapshot.Tests[hook.Name] = hook.LastRun
	}
	sum := sha256.New()
	if err := json.NewEncoder(sum).Encode(seen); err != nil {
		return Snapshot{}, fmt.Errorf("encoding release %s/%s.v%d: %w", record.Namespace, record.Name, record.Version, err)
	}
	snapshot.Digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	var err error
	if snapshot.ConfigDigest, err = values.Digest(seen.Config); err != nil {
		return Snapshot{}, err
	}
	return snapshot, nil
}
