package trouble

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// pod is a Pod as it was seen once.
type pod struct {
	key      Key // of the workload
	uid      types.UID
	owner    types.UID // of the workload, or of its ReplicaSet
	revision string
	created  time.Time
	ready    bool
	ailment  *ailment // nil for one that is well
}

// ailment is what a container suffers from.
type ailment struct {
	reason  Reason
	message string
	blame   blame // of a failed pull
	backOff bool  // the kubelet has tried more than once
	window  time.Duration
}

// lookAtPod reads a Pod; nil means that it says nothing of a workload.
func lookAtPod(seen metav1.Object) *pod {
	u, ok := seen.(*unstructured.Unstructured)
	if !ok || seen.GetDeletionTimestamp() != nil {
		return nil
	}
	owner := metav1.GetControllerOf(seen)
	if owner == nil {
		return nil
	}
	p := &pod{uid: seen.GetUID(), owner: owner.UID, created: seen.GetCreationTimestamp().Time}
	p.key = Key{Kind: owner.Kind, Namespace: seen.GetNamespace(), Name: owner.Name}
	switch owner.Kind {
	case replicaSet:
		hash := field(u.Object, "labels", templateHashLabel)
		length := len(owner.Name) - len(hash) - 1
		if hash == "" || length <= 0 || owner.Name[length:] != "-"+hash {
			return nil // not a Deployment's
		}
		p.key.Kind, p.key.Name = deployment, owner.Name[:length]
	case statefulSet:
		p.revision = field(u.Object, "labels", controllerHashLabel)
	case daemonSet:
		p.revision = field(u.Object, "labels", templateLabel)
	case job:
	default:
		return nil
	}
	p.ready = isReady(u.Object)
	p.ailment = diagnose(u.Object, p.key.Kind)
	return p
}

func isReady(object map[string]any) bool {
	status, _ := object["status"].(map[string]any)
	conditions, _ := status["conditions"].([]any)
	for _, one := range conditions {
		if condition, _ := one.(map[string]any); condition["type"] == "Ready" {
			return condition["status"] == "True"
		}
	}
	return false
}

// diagnose finds the container that keeps a Pod from coming up: the first one that is ill for good,
// or else the first one of which it is not certain yet.
func diagnose(object map[string]any, kind string) *ailment {
	status, _ := object["status"].(map[string]any)
	var found *ailment
	for _, list := range []string{"initContainerStatuses", "containerStatuses"} {
		containers, _ := status[list].([]any)
		for _, one := range containers {
			container, _ := one.(map[string]any)
			next := examine(container, kind)
			switch {
			case next == nil:
			case next.backOff && next.window == 0 && next.blame != blameWay:
				return next
			case found == nil:
				found = next
			}
		}
	}
	return found
}

// examine reads the status of a container.
func examine(container map[string]any, kind string) *ailment {
	state, _ := container["state"].(map[string]any)
	waiting, _ := state["waiting"].(map[string]any)
	why, _ := waiting["reason"].(string)
	message, _ := waiting["message"].(string)
	name, _ := container["name"].(string)
	image, _ := container["image"].(string)
	switch why {
	case "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable":
		return pull(why, message, name, image)
	case "ErrImageNeverPull", "InvalidImageName", "SignatureValidationFailed":
		return &ailment{
			reason: ImagePull, backOff: true, blame: blameImage,
			message: fmt.Sprintf("container %s: image %q: %s%s", name, image, why, detail(message)),
		}
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		return &ailment{
			reason: Container, backOff: true, window: suppliedWindow,
			message: fmt.Sprintf("container %s: %s%s", name, why, detail(message)),
		}
	case "CrashLoopBackOff":
		restarts, _ := container["restartCount"].(int64)
		if restarts < crashLimit || kind == job { // a Job has its own limit
			return nil
		}
		return &ailment{
			reason: CrashLoop, backOff: true,
			message: fmt.Sprintf("container %s: CrashLoopBackOff after %d restarts%s", name, restarts, lastEnd(container)),
		}
	}
	return nil
}

func pull(why, message, name, image string) *ailment {
	a := &ailment{reason: ImagePull, backOff: why != "ErrImagePull", blame: blameFor(message)}
	if why == "RegistryUnavailable" {
		a.blame = blameWay
	}
	if a.blame == blameNobody {
		a.window = doubtWindow
	}
	if _, cause, told := strings.Cut(message, "ErrImagePull: "); told {
		message = cause
	}
	a.message = fmt.Sprintf("container %s: image %q cannot be pulled: %s%s", name, image, why, detail(message))
	return a
}

// lastEnd tells how a container ended last. What it said itself is left out: it may be anything.
func lastEnd(container map[string]any) string {
	last, _ := container["lastState"].(map[string]any)
	terminated, _ := last["terminated"].(map[string]any)
	if terminated == nil {
		return ""
	}
	code, _ := terminated["exitCode"].(int64)
	reason, _ := terminated["reason"].(string)
	if reason == "" {
		return fmt.Sprintf("; it ended with code %d", code)
	}
	return fmt.Sprintf("; it ended with code %d (%s)", code, reason)
}

func detail(message string) string {
	if message = tidy(message); message == "" {
		return ""
	}
	return ": " + message
}
