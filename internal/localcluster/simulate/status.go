package simulate

import "strings"

// States of the container that fails, as parts of a template that knows the container as $c, how often
// it was restarted as $count, and the time as $now.
const (
	runningState = `
  state:
    running: {startedAt: {{ $now | Quote }}}`
	lastEnd = `
  lastState:
    terminated: {exitCode: 1, reason: Error, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}`
	crashedState = lastEnd + `
  state:
    waiting: {reason: CrashLoopBackOff, message: {{ printf "back-off restarting failed container=%s pod=%s" $c.name $pod | Quote }}}`
	restartedState = `{{ $count = add $count 1 }}` + lastEnd + runningState
	failedState    = `
  state:
    terminated: {exitCode: 1, reason: Error, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}`
)

// pullState is that of a container whose image cannot be pulled, in the words of containerd.
func pullState(reason string) string {
	backOff := ""
	if reason != "ErrImagePull" {
		backOff = `{{ $message = printf "Back-off pulling image %q: ErrImagePull: %s" $c.image $message }}`
	}
	return `{{ $message := printf "failed to pull and unpack image %q: failed to resolve reference %q: %s: not found" $c.image $c.image $c.image }}` +
		`{{ if hasPrefix "registry.invalid/" $c.image }}` +
		`{{ $message = printf "failed to pull and unpack image %q: failed to do request: dial tcp: lookup registry.invalid: no such host" $c.image }}` +
		`{{ end }}` + backOff + `
  state:
    waiting: {reason: ` + reason + `, message: {{ $message | Quote }}}`
}

// meant tells whether the image of $c asks for a failure.
const meant = `{{ $image := first (splitList "@" $c.image) }}{{ $meant := or
  (hasSuffix ":does-not-exist" $image) (hasSuffix ":crash-loop" $image) (hasSuffix ":never-ready" $image)
  (hasSuffix ":fails" $image) (hasPrefix "registry.invalid/" $image) }}`

// count finds how often $c was restarted, in a list of statuses.
const count = `{{ $count := 0 }}{{ range (or $root.status.LIST list) }}{{ if eq .name $c.name }}{{ $count = atoi (printf "%v" .restartCount) }}{{ end }}{{ end }}`

// statusTemplate is a Pod's status in which the containers that are meant are in the STATE, and the others
// as far as they can be beside them. The annotation means all but the init containers.
const statusTemplate = `
{{ $now := Now }}{{ $root := . }}{{ $pod := .metadata.name }}
{{ $all := hasKey (or .metadata.annotations dict) "ANNOTATION" }}
{{ $initial := false }}
{{ range $c := .spec.initContainers }}MEANT{{ if and (not $all) $meant }}{{ $initial = true }}{{ end }}{{ end }}
phase: {{ if and $initial (ne "PHASE" "Failed") }}Pending{{ else }}PHASE{{ end }}
startTime: {{ or .status.startTime $now | Quote }}
conditions:
- {type: Initialized, status: {{ if $initial }}"False"{{ else }}"True"{{ end }}, lastTransitionTime: {{ $now | Quote }}}
- {type: Ready, status: "False", reason: ContainersNotReady, lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "False", reason: ContainersNotReady, lastTransitionTime: {{ $now | Quote }}}
initContainerStatuses:
{{ range $c := .spec.initContainers }}MEANT-INIT
- name: {{ $c.name | Quote }}
  image: {{ $c.image | Quote }}
  imageID: ""
  ready: {{ not $initial }}
{{ if and $initial $meant }}STATE
{{ else if eq (or $c.restartPolicy "") "Always" }}RUNNING
{{ else }}
  state:
    terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}
{{ end }}
  restartCount: {{ $count }}
{{ end }}
containerStatuses:
{{ range $c := .spec.containers }}MEANT-MAIN
{{ $ill := or $all $meant }}
- name: {{ $c.name | Quote }}
  image: {{ $c.image | Quote }}
  imageID: ""
  ready: {{ not (or $initial $ill) }}
{{ if $initial }}
  state:
    waiting: {reason: PodInitializing}
{{ else if $ill }}STATE
{{ else }}RUNNING
{{ end }}
  restartCount: {{ $count }}
{{ end }}
`

// statusOf fills in the state and the phase.
func statusOf(state, phase string) string {
	return strings.NewReplacer(
		"MEANT-INIT", meant+strings.ReplaceAll(count, "LIST", "initContainerStatuses"),
		"MEANT-MAIN", meant+strings.ReplaceAll(count, "LIST", "containerStatuses"),
		"MEANT", meant, "ANNOTATION", Annotation, "PHASE", phase, "STATE", state, "RUNNING", runningState,
	).Replace(statusTemplate)
}
