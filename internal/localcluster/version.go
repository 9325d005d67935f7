package localcluster

import (
	"fmt"

	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	basecompatibility "k8s.io/component-base/compatibility"
)

// release is the version of k8s.io/kubernetes in go.mod; a test holds it to that. The program itself
// cannot always tell, because not every build records its modules.
const release = "v1.36.3"

// KubernetesVersion is the release of Kubernetes that is built into this program, such as v1.36.3.
func KubernetesVersion() string { return release }

// servedVersion is the effective version of the components with a git version that clients accept.
// Kubernetes' own build writes it at link time, which `go install` of this program cannot do.
type servedVersion struct {
	basecompatibility.MutableEffectiveVersion
}

// Info implements basecompatibility.EffectiveVersion.
func (v servedVersion) Info() *apiversion.Info {
	info := v.MutableEffectiveVersion.Info()
	info.GitVersion = release
	info.GitCommit, info.GitTreeState, info.BuildDate = "", "", ""
	return info
}

// versionRegistry returns the registry through which the API server learns its version and its
// feature gates.
func versionRegistry() (basecompatibility.ComponentGlobalsRegistry, error) {
	registry := basecompatibility.NewComponentGlobalsRegistry()
	version := servedVersion{compatibility.DefaultBuildEffectiveVersion()}
	err := registry.Register(basecompatibility.DefaultKubeComponent, version, utilfeature.DefaultMutableFeatureGate)
	if err != nil {
		return nil, fmt.Errorf("setting the version of the API server: %w", err)
	}
	return registry, nil
}
