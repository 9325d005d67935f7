// Package helmchart reconciles HelmChart objects: it finds the version of a chart that is asked for, in a Helm
// repository, a registry, or the artifact of a GitRepository or a Bucket, merges values files, puts dependencies
// in, and keeps the chart as an artifact.
//
// In: objects, the artifacts of their sources, Secrets. Out: artifacts, conditions with Flux's reasons. A chart
// is fetched and built only when its version, its source's revision (where the strategy says so) or its spec
// changed; otherwise a look costs no download. The work is done by internal/stage/source/helm.
package helmchart
