package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/record/history"
)

// BenchmarkRollback measures how long it takes from the moment at which a Pod says that its image cannot
// be pulled to the decision, from there to the first write that goes back, and from the commit to the end.
func BenchmarkRollback(b *testing.B) {
	for b.Loop() {
		ctx := b.Context()
		c := newCluster(b)
		f := newFleet(b, shape{units: 1, objects: 50}, clustertest.Namespace(b))
		d := startDaemon(b, c.kubeconfig)
		units := c.follow(ctx, b, f.namespace)
		f.create(ctx, b, c)
		units.await(b, 1, "", time.Minute)
		waitFor(b, time.Minute, "the first release to be good", func() bool { return c.latest(ctx, b, f).Verdict == release.Good })
		await := c.awaitValue(ctx, b, f.namespace, f.object(0, 0))
		await("first")
		var decision, write, whole []float64
		for round := range 3 { // a fourth would freeze the unit
			failing := c.failingPod(ctx, b, f.namespace)
			before := d.usage(b)
			began := time.Now()
			value := fmt.Sprintf("bad-%d", round)
			f.commitFiles(b, value, map[string]string{
				f.file(0, 0): f.manifest(0, 0, value), "units/0000/web.yaml": fmt.Sprintf(brokenApp, f.namespace, round),
			})
			c.ask(ctx, b, f.namespace)
			await(value)
			failed := <-failing
			await("first")
			back := time.Now()
			var last release.Release
			waitFor(b, time.Minute, "the rollback to end", func() bool {
				last = c.latest(ctx, b, f)
				return last.Verdict == release.RolledBack && last.Number == int64(round+2)
			})
			whole = append(whole, time.Since(began).Seconds())
			decision = append(decision, last.Decided.Sub(failed).Seconds())
			write = append(write, back.Sub(last.Decided).Seconds())
			b.ReportMetric(d.usage(b).since(before).requests, "requests")
		}
		b.ReportMetric(median(decision), "decision-s")
		b.ReportMetric(median(write), "first-write-s")
		b.ReportMetric(median(whole), "commit-to-end-s")
		b.ReportMetric(0, "ns/op")
	}
}

const brokenApp = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: %[1]s}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, round: "%[2]d"}}
    spec:
      containers: [{name: app, image: "example.org/app:does-not-exist"}]
`

// failingPod tells when a Pod first waits because its image cannot be pulled.
func (c *cluster) failingPod(ctx context.Context, b *testing.B, namespace string) <-chan time.Time {
	b.Helper()
	watcher, err := c.api.Watch(ctx, &corev1.PodList{}, client.InNamespace(namespace))
	if err != nil {
		b.Fatal(err)
	}
	seen := make(chan time.Time, 1)
	go func() {
		defer watcher.Stop()
		for event := range watcher.ResultChan() {
			pod, ok := event.Object.(*corev1.Pod)
			if !ok || pod.DeletionTimestamp != nil {
				continue
			}
			for _, container := range pod.Status.ContainerStatuses {
				if waiting := container.State.Waiting; waiting != nil && waiting.Reason == "ImagePullBackOff" {
					seen <- time.Now()
					return
				}
			}
		}
	}()
	return seen
}

// latest returns the newest release of the fleet's first unit.
func (c *cluster) latest(ctx context.Context, b *testing.B, f *fleet) release.Release {
	b.Helper()
	var list metav1.PartialObjectMetadataList
	list.APIVersion, list.Kind = "v1", "SecretList"
	if err := c.api.List(ctx, &list, client.InNamespace("flux-system"), client.HasLabels{history.LabelUnit}); err != nil {
		b.Fatal(err)
	}
	var newest release.Release
	for i := range list.Items {
		_, unit, one, err := history.Decode(&list.Items[i])
		if err == nil && unit.Namespace == f.namespace && one.Number > newest.Number {
			newest = one
		}
	}
	return newest
}
