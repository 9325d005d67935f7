package podsecurity

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kyverno/kyverno/ext/wildcard"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/policy"
)

func allow(*meta.ObjectMeta, *core.PodSpec) policy.CheckResult {
	return policy.CheckResult{Allowed: true}
}

// exclude changes a pod, which is the caller's own, so that what is excluded is harmless.
func exclude(pod map[string]any, control string, exclusion Exclusion) {
	fields := []string{exclusion.RestrictedField}
	if exclusion.RestrictedField == "" {
		fields = fieldsOf(control)
	}
	spec, _ := pod["spec"].(map[string]any)
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		if len(exclusion.Images) == 0 {
			break
		}
		containers, _ := spec[list].([]any)
		for _, item := range containers {
			container, _ := item.(map[string]any)
			image, _ := container["image"].(string)
			if container == nil || !matches(exclusion.Images, image) {
				continue
			}
			for _, field := range fields {
				if rest, ok := strings.CutPrefix(field, "spec."+list+"[*]."); ok {
					harmless(container, strings.Split(rest, "."), exclusion.Values)
				}
			}
		}
	}
	if len(exclusion.Images) > 0 {
		return
	}
	for _, field := range fields {
		if !strings.Contains(field, "ontainers[*]") {
			harmless(pod, strings.Split(field, "."), exclusion.Values)
		}
	}
}

// harmless puts a harmless value where a path leads, if what is there is among the values. A step that
// ends in [*] stands for each item of a list.
func harmless(value map[string]any, path []string, values []string) {
	step := path[0]
	if list, ok := strings.CutSuffix(step, "[*]"); ok {
		items, _ := value[list].([]any)
		value[list] = slices.DeleteFunc(items, func(item any) bool {
			inner, isMap := item.(map[string]any)
			if isMap && len(path) > 1 {
				if field, found := inner[path[1]]; found && len(path) == 2 && len(values) == 0 || found && len(path) == 2 && matches(values, fmt.Sprint(field)) {
					return list == "volumes" || list == "sysctls" || list == "ports"
				}
				harmless(inner, path[1:], values)
				return false
			}
			return len(values) == 0 || matches(values, fmt.Sprint(item))
		})
		return
	}
	if len(path) > 1 {
		inner, _ := value[step].(map[string]any)
		if inner == nil {
			inner = map[string]any{}
		}
		value[step] = inner
		harmless(inner, path[1:], values)
		if len(inner) == 0 {
			delete(value, step)
		}
		return
	}
	settle(value, step, values)
}

// settle replaces one field.
func settle(value map[string]any, step string, values []string) {
	current, found := value[step]
	if list, ok := current.([]any); ok && len(values) > 0 {
		current = slices.DeleteFunc(list, func(item any) bool { return matches(values, fmt.Sprint(item)) })
		value[step] = current
		return
	}
	if found && len(values) > 0 && !matches(values, fmt.Sprint(current)) {
		return
	}
	switch step {
	case "allowPrivilegeEscalation":
		value[step] = false
	case "runAsNonRoot":
		value[step] = true
	case "type":
		value[step] = "RuntimeDefault"
	case "drop":
		value[step] = []any{"ALL"}
	default:
		delete(value, step)
	}
}

func matches(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return wildcard.Match(pattern, text) })
}

// fieldsOf returns the fields that a control looks at, by the Pod Security Standards page.
func fieldsOf(control string) []string {
	each := func(fields ...string) []string {
		var all []string
		for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
			for _, field := range fields {
				all = append(all, "spec."+list+"[*]."+field)
			}
		}
		return all
	}
	switch control {
	case "Capabilities":
		return each("securityContext.capabilities.add", "securityContext.capabilities.drop")
	case "Seccomp":
		return append(each("securityContext.seccompProfile.type"), "spec.securityContext.seccompProfile.type")
	case "Privileged Containers":
		return each("securityContext.privileged")
	case "Host Ports":
		return each("ports[*].hostPort")
	case "/proc Mount Type":
		return each("securityContext.procMount")
	case "HostProcess":
		return append(each("securityContext.windowsOptions.hostProcess"), "spec.securityContext.windowsOptions.hostProcess")
	case "SELinux":
		fields := []string{"securityContext.seLinuxOptions.type", "securityContext.seLinuxOptions.user", "securityContext.seLinuxOptions.role"}
		return append(each(fields...), "spec."+fields[0], "spec."+fields[1], "spec."+fields[2])
	case "Host Namespaces":
		return []string{"spec.hostNetwork", "spec.hostPID", "spec.hostIPC"}
	case "HostPath Volumes":
		return []string{"spec.volumes[*].hostPath"}
	case "Sysctls":
		return []string{"spec.securityContext.sysctls[*].name"}
	case "AppArmor":
		return append(each("securityContext.appArmorProfile.type"), "metadata.annotations", "spec.securityContext.appArmorProfile.type")
	case "Privilege Escalation":
		return each("securityContext.allowPrivilegeEscalation")
	case "Running as Non-root":
		return append(each("securityContext.runAsNonRoot"), "spec.securityContext.runAsNonRoot")
	case "Running as Non-root user":
		return append(each("securityContext.runAsUser"), "spec.securityContext.runAsUser")
	case "Volume Types":
		return []string{
			"spec.volumes[*].hostPath", "spec.volumes[*].gcePersistentDisk", "spec.volumes[*].awsElasticBlockStore",
			"spec.volumes[*].gitRepo", "spec.volumes[*].nfs", "spec.volumes[*].iscsi", "spec.volumes[*].glusterfs",
			"spec.volumes[*].rbd", "spec.volumes[*].flexVolume", "spec.volumes[*].cinder", "spec.volumes[*].cephfs",
			"spec.volumes[*].flocker", "spec.volumes[*].fc", "spec.volumes[*].azureFile", "spec.volumes[*].vsphereVolume",
			"spec.volumes[*].quobyte", "spec.volumes[*].azureDisk", "spec.volumes[*].portworxVolume",
			"spec.volumes[*].scaleIO", "spec.volumes[*].storageos", "spec.volumes[*].photonPersistentDisk",
		}
	default:
		return nil
	}
}
