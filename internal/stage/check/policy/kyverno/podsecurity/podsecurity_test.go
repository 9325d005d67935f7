package podsecurity_test

import (
	"strings"
	"testing"

	sigs "sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/podsecurity"
)

const (
	good = `{securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}, name: a, image: "r/a:1"}`
	adds = `{securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [SYS_ADMIN]}, seccompProfile: {type: RuntimeDefault}}, name: b, image: "r/b:1"}`
)

func TestJudge(t *testing.T) {
	pod := func(spec string) string {
		return "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: " + spec + "}"
	}
	images := func(control string, images ...string) podsecurity.Exclusion {
		return podsecurity.Exclusion{ControlName: control, Images: images}
	}
	cases := map[string]struct {
		why, object, level string
		exclude            []podsecurity.Exclusion
		want               string // a part of what is forbidden; empty is nothing
	}{
		"Restricted":    {why: "a pod that restricts itself", object: pod("{containers: [" + good + "]}"), level: "restricted"},
		"Privileged":    {why: "the level that forbids nothing", object: pod("{hostNetwork: true, containers: [{name: a}]}"), level: "privileged"},
		"Host":          {why: "the network of the host", object: pod("{hostNetwork: true, containers: [{name: a}]}"), level: "baseline", want: "host namespaces"},
		"HostExcluded":  {why: "a control of the pod, excluded", object: pod("{hostNetwork: true, containers: [{name: a}]}"), level: "baseline", exclude: []podsecurity.Exclusion{{ControlName: "Host Namespaces"}}},
		"OneField":      {why: "only one of its fields", object: pod("{hostNetwork: true, hostPID: true, containers: [{name: a}]}"), level: "baseline", exclude: []podsecurity.Exclusion{{ControlName: "Host Namespaces", RestrictedField: "spec.hostNetwork", Values: []string{"true"}}}, want: "hostPID"},
		"Volume":        {why: "a volume of the host", object: pod("{volumes: [{name: v, hostPath: {path: /}}], containers: [{name: a}]}"), level: "baseline", exclude: []podsecurity.Exclusion{{ControlName: "HostPath Volumes"}}},
		"Added":         {why: "a capability of the second container", object: pod("{containers: [" + good + ", " + adds + "]}"), level: "baseline", want: "SYS_ADMIN"},
		"AddedExcluded": {why: "excluded for its image", object: pod("{containers: [" + good + ", " + adds + "]}"), level: "restricted", exclude: []podsecurity.Exclusion{images("Capabilities", "r/b*")}},
		"OtherImage":    {why: "an exclusion for another image", object: pod("{containers: [" + adds + "]}"), level: "baseline", exclude: []podsecurity.Exclusion{images("Capabilities", "r/a*")}, want: "SYS_ADMIN"},
		"OtherControl":  {why: "an exclusion of another control", object: pod("{containers: [" + adds + "]}"), level: "baseline", exclude: []podsecurity.Exclusion{images("Seccomp", "*")}, want: "SYS_ADMIN"},
		"OtherValue":    {why: "an exclusion for another value", object: pod("{containers: [" + adds + "]}"), level: "baseline", exclude: []podsecurity.Exclusion{{ControlName: "Capabilities", Images: []string{"*"}, RestrictedField: "spec.containers[*].securityContext.capabilities.add", Values: []string{"NET_ADMIN"}}}, want: "SYS_ADMIN"},
		"Value":         {why: "for this value", object: pod("{containers: [" + adds + "]}"), level: "baseline", exclude: []podsecurity.Exclusion{{ControlName: "Capabilities", Images: []string{"*"}, RestrictedField: "spec.containers[*].securityContext.capabilities.add", Values: []string{"SYS_*"}}}},
		"Missing":       {why: "a field that has to be there", object: pod("{containers: [{name: a, image: x, securityContext: {runAsNonRoot: true, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}}]}"), level: "restricted", exclude: []podsecurity.Exclusion{images("Privilege Escalation", "x")}},
		"Deployment":    {why: "the pod of a controller", object: "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {template: {spec: {hostIPC: true, containers: [{name: a}]}}}}", level: "baseline", want: "hostIPC"},
		"CronJob":       {why: "and of a controller's controller", object: "{apiVersion: batch/v1, kind: CronJob, metadata: {name: c}, spec: {jobTemplate: {spec: {template: {spec: {hostIPC: true, containers: [{name: a}]}}}}}}", level: "baseline", want: "hostIPC"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var object map[string]any
			if err := sigs.Unmarshal([]byte(tc.object), &object); err != nil {
				t.Fatal(err)
			}
			found, err := podsecurity.Judge(object, podsecurity.Standard{Level: tc.level, Exclude: tc.exclude})
			text := strings.Join(found, ", ")
			if err != nil || (tc.want == "") != (text == "") || !strings.Contains(text, tc.want) {
				t.Errorf("%s: %q, %v", tc.why, text, err)
			}
		})
	}
	if _, err := podsecurity.Judge(map[string]any{"kind": "ConfigMap"}, podsecurity.Standard{Level: "baseline"}); err == nil {
		t.Error("what has no pod is no pass")
	}
	if _, err := podsecurity.Judge(map[string]any{"kind": "Pod"}, podsecurity.Standard{Level: "strict"}); err == nil {
		t.Error("a level that is not known is no pass")
	}
}
