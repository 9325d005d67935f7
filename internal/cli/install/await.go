package install

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"holdfast.dev/holdfast/config/install"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/kube/stream"
	"holdfast.dev/holdfast/internal/model/object"
)

// Await waits until the controller of a namespace is ready. Its error says what the Pods wait for.
func Await(ctx context.Context, cluster *kube.Cluster, namespace string) error {
	ref := deployments
	ref.Namespace, ref.Name = namespace, install.Deployment
	if err := until(ctx, cluster, ref, rolledOut); err != nil {
		if why := waitingFor(context.WithoutCancel(ctx), cluster, namespace); why != "" {
			return fmt.Errorf("waiting for %s to be ready: %w; %s", ref, err, why)
		}
		return fmt.Errorf("waiting for %s to be ready: %w", ref, err)
	}
	return nil
}

// rolledOut tells whether all replicas of a Deployment's newest generation are ready.
func rolledOut(u *unstructured.Unstructured) bool {
	if u == nil {
		return false
	}
	number := func(path ...string) int64 {
		value, _, _ := unstructured.NestedInt64(u.Object, path...)
		return value
	}
	wanted := number("spec", "replicas")
	return number("status", "observedGeneration") >= u.GetGeneration() &&
		number("status", "updatedReplicas") >= wanted && number("status", "readyReplicas") >= wanted &&
		number("status", "replicas") == wanted
}

// until watches one object until it is as wanted; an object that does not exist is nil.
func until(ctx context.Context, cluster *kube.Cluster, ref object.Ref, is func(*unstructured.Unstructured) bool) error {
	mapping, err := cluster.Map(ctx, ref)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var reached bool
	var broken error
	see := func(u *unstructured.Unstructured) {
		if !reached && is(u) {
			reached = true
			stop()
		}
	}
	type item = stream.Item[*unstructured.Unstructured]
	stream.Run(watching, cluster, stream.Target{
		Resource: mapping.Resource, Namespace: ref.Namespace, Fields: stream.One(ref.Name),
	}, stream.Sink[*unstructured.Unstructured]{
		Look: func(seen metav1.Object) *unstructured.Unstructured {
			u, _ := seen.(*unstructured.Unstructured)
			return u
		},
		Put:  func(i item) { see(i.Value) },
		Drop: func(item) { see(nil) },
		Replace: func(items []item, _ stream.Position) {
			if len(items) == 0 {
				see(nil)
			}
			for _, i := range items {
				see(i.Value)
			}
		},
		Link: func(err error) {
			if broken = err; apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
				stop() // it will not get better
			}
		},
	}, logr.Discard())
	if reached {
		return nil
	}
	return errors.Join(broken, context.Cause(ctx))
}

// waitingFor says what keeps the controller's Pods from being ready, as far as they tell.
func waitingFor(ctx context.Context, cluster *kube.Cluster, namespace string) string {
	mapping, err := cluster.Map(ctx, object.Ref{Version: "v1", Kind: "Pod"})
	if err != nil {
		return ""
	}
	selector := labels.Set{"app.kubernetes.io/name": install.Deployment}.String()
	pods, err := cluster.Dynamic().Resource(mapping.Resource).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return ""
	}
	if len(pods.Items) == 0 {
		return "there are no Pods of it"
	}
	var reasons []string
	for i := range pods.Items {
		if why := podWaits(&pods.Items[i]); why != "" {
			reasons = append(reasons, "Pod "+pods.Items[i].GetName()+": "+why)
		}
	}
	return strings.Join(reasons, "; ")
}

// podWaits says why a Pod is not ready.
func podWaits(pod *unstructured.Unstructured) string {
	text := func(from map[string]any, path ...string) string {
		value, _, _ := unstructured.NestedString(from, path...)
		return value
	}
	statuses, _, _ := unstructured.NestedSlice(pod.Object, "status", "containerStatuses")
	for _, item := range statuses {
		status, _ := item.(map[string]any)
		if reason := text(status, "state", "waiting", "reason"); reason != "" {
			return strings.TrimSuffix(reason+": "+text(status, "state", "waiting", "message"), ": ")
		}
	}
	conditions, _, _ := unstructured.NestedSlice(pod.Object, "status", "conditions")
	for _, item := range conditions {
		condition, _ := item.(map[string]any)
		if text(condition, "type") == "PodScheduled" && text(condition, "status") == "False" {
			return text(condition, "message")
		}
	}
	return ""
}
