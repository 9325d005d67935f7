package podsecurity

import (
	"encoding/json"
	"fmt"
	"strings"

	core "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

// Exclusion lets a control pass: for containers with certain images, or for the pod itself; as a whole, or
// only for a field that has certain values.
type Exclusion struct {
	ControlName     string   `json:"controlName"`
	Images          []string `json:"images"`
	RestrictedField string   `json:"restrictedField"`
	Values          []string `json:"values"`
}

// Standard is what a pod is judged by.
type Standard struct {
	Level   string      `json:"level"`
	Version string      `json:"version"`
	Exclude []Exclusion `json:"exclude"`
}

// controls names the checks of each control, by the names of the Pod Security Standards page.
func controls(check policy.CheckID) string {
	switch check {
	case "capabilities_baseline", "capabilities_restricted":
		return "Capabilities"
	case "seccompProfile_baseline", "seccompProfile_restricted":
		return "Seccomp"
	case "privileged":
		return "Privileged Containers"
	case "hostPorts":
		return "Host Ports"
	case "procMount", "procMount_restricted":
		return "/proc Mount Type"
	case "windowsHostProcess":
		return "HostProcess"
	case "seLinuxOptions":
		return "SELinux"
	case "hostNamespaces":
		return "Host Namespaces"
	case "hostPathVolumes":
		return "HostPath Volumes"
	case "sysctls":
		return "Sysctls"
	case "appArmorProfile":
		return "AppArmor"
	case "allowPrivilegeEscalation":
		return "Privilege Escalation"
	case "runAsNonRoot":
		return "Running as Non-root"
	case "runAsUser":
		return "Running as Non-root user"
	case "restrictedVolumes":
		return "Volume Types"
	default:
		return string(check)
	}
}

// Judge returns what the standard forbids about an object: nothing, if it is allowed.
func Judge(object map[string]any, standard Standard) ([]string, error) {
	level, version, err := parse(standard)
	if err != nil {
		return nil, err
	}
	pod, err := podOf(object)
	if err != nil {
		return nil, err
	}
	var forbidden []string
	for _, check := range policy.DefaultChecks() {
		if level == api.LevelPrivileged || level == api.LevelBaseline && check.Level != level {
			continue
		}
		looked, err := excluded(pod, controls(check.ID), standard.Exclude)
		if err != nil {
			return nil, err
		}
		if result := versioned(check, version)(&looked.ObjectMeta, &looked.Spec); !result.Allowed {
			text := result.ForbiddenReason
			if result.ForbiddenDetail != "" {
				text += " (" + result.ForbiddenDetail + ")"
			}
			forbidden = append(forbidden, text)
		}
	}
	return forbidden, nil
}

func parse(standard Standard) (api.Level, api.Version, error) {
	level, err := api.ParseLevel(standard.Level)
	if err != nil {
		return "", api.Version{}, fmt.Errorf("reading podSecurity.level: %w", err)
	}
	if standard.Version == "" {
		return level, api.LatestVersion(), nil
	}
	version, err := api.ParseVersion(standard.Version)
	if err != nil {
		return "", api.Version{}, fmt.Errorf("reading podSecurity.version: %w", err)
	}
	return level, version, nil
}

// versioned returns the newest form of a check that is not newer than a version.
func versioned(check policy.Check, version api.Version) policy.CheckPodFn {
	selected := check.Versions[0]
	for _, next := range check.Versions[1:] {
		if !version.Older(next.MinimumVersion) {
			selected = next
		}
	}
	if version.Older(selected.MinimumVersion) {
		return policy.CheckPodFn(allow)
	}
	return selected.CheckPod
}

// podOf finds the pod in an object.
func podOf(object map[string]any) (map[string]any, error) {
	var path []string
	switch kind := ruling.Text(object, "kind"); kind {
	case "Pod":
		return map[string]any{"metadata": object["metadata"], "spec": object["spec"]}, nil
	case "DaemonSet", "Deployment", "Job", "StatefulSet", "ReplicaSet", "ReplicationController":
		path = []string{"spec", "template"}
	case "CronJob":
		path = []string{"spec", "jobTemplate", "spec", "template"}
	case "PodTemplate":
		path = []string{"template"}
	default:
		return nil, fmt.Errorf("judging the pod security of a %s: it has no pod", kind)
	}
	for _, step := range path {
		object, _ = object[step].(map[string]any)
	}
	return map[string]any{"metadata": object["metadata"], "spec": object["spec"]}, nil
}

// excluded returns the pod as the checks of a control shall see it.
func excluded(pod map[string]any, control string, exclusions []Exclusion) (*core.Pod, error) {
	for _, exclusion := range exclusions {
		if strings.EqualFold(exclusion.ControlName, control) {
			pod = ruling.Copy(pod).(map[string]any)
			exclude(pod, control, exclusion)
		}
	}
	raw, err := json.Marshal(pod)
	if err != nil {
		return nil, fmt.Errorf("encoding a pod: %w", err)
	}
	typed := &core.Pod{}
	if err := json.Unmarshal(raw, typed); err != nil {
		return nil, fmt.Errorf("reading a pod: %w", err)
	}
	return typed, nil
}
