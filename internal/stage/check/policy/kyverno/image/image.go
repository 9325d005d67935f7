package image

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"

	"holdfast.dev/holdfast/internal/stage/check/policy/ruling"
)

const defaultRegistry = "docker.io"

// Of returns the images of an object: by kind of container, then by name of container. An object that has
// no containers has none.
func Of(object map[string]any) (map[string]any, error) {
	path := podSpec(ruling.Text(object, "kind"))
	if path == nil {
		return nil, nil
	}
	pod := object
	for _, step := range path {
		pod, _ = pod[step].(map[string]any)
	}
	images := map[string]any{}
	for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
		containers, _ := pod[list].([]any)
		found := map[string]any{}
		for i, item := range containers {
			container, _ := item.(map[string]any)
			name, text := ruling.Text(container, "name"), ruling.Text(container, "image")
			if strings.TrimSpace(text) == "" {
				continue
			}
			parts, err := Parse(text)
			if err != nil {
				return nil, err
			}
			parts["jsonPointer"] = fmt.Sprintf("/%s/%s/%d/image", strings.Join(path, "/"), list, i)
			found[name] = parts
		}
		if len(found) > 0 {
			images[list] = found
		}
	}
	return images, nil
}

// podSpec returns where the pod of a kind is.
func podSpec(kind string) []string {
	switch kind {
	case "Pod":
		return []string{"spec"}
	case "DaemonSet", "Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "Job":
		return []string{"spec", "template", "spec"}
	case "CronJob":
		return []string{"spec", "jobTemplate", "spec", "template", "spec"}
	default:
		return nil
	}
}

// Parse returns the parts of a reference. A registry and a tag that are not written are those that a
// container runtime would take.
func Parse(text string) (map[string]any, error) {
	full := text
	host, _, found := strings.Cut(text, "/")
	if !found || !strings.ContainsAny(host, ".:") && host != "localhost" && strings.ToLower(host) == host {
		full = defaultRegistry + "/" + text
	}
	parsed, err := reference.Parse(full)
	if err != nil {
		return nil, fmt.Errorf("reading the image reference %q: %w", text, err)
	}
	named, ok := parsed.(reference.Named)
	if !ok {
		return nil, fmt.Errorf("reading the image reference %q: it names no image", text)
	}
	registry, path := reference.Domain(named), reference.Path(named)
	parts := map[string]any{"registry": registry, "path": path, "name": path[strings.LastIndex(path, "/")+1:]}
	tag, digest := "", ""
	if tagged, ok := parsed.(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	if digested, ok := parsed.(reference.Digested); ok {
		digest = digested.Digest().String()
	}
	if tag == "" && digest == "" {
		tag = "latest"
	}
	whole := registry + "/" + path
	parts["referenceWithTag"], parts["reference"] = whole+":"+tag, whole+":"+tag
	if tag != "" {
		parts["tag"] = tag
	}
	if digest != "" {
		parts["digest"], parts["reference"] = digest, whole+"@"+digest
	}
	return parts, nil
}
