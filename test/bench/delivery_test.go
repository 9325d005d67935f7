package bench

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/localcluster/clustertest"
)

var shapes = []shape{
	{name: "1x1000", units: 1, objects: 1000},
	{name: "100x10", units: 100, objects: 10},
	{name: "1000x4", units: 1000, objects: 4, stuck: 20, apps: true},
}

// custom measures another fleet instead, for example -fleet 20x10.
var custom = flag.String("fleet", "", "measure one fleet of UNITSxOBJECTS instead")

// profiled asks for a CPU profile of the controller during the first delivery.
var profiled = flag.String("controller-profile", "", "write a CPU profile of the controller's first 8 seconds of delivery to this file")

// rest is how long the fleet is watched doing nothing.
const rest = 60 * time.Second

func BenchmarkDelivery(b *testing.B) {
	fleets := shapes
	if *custom != "" {
		one := shape{name: *custom}
		if _, err := fmt.Sscanf(*custom, "%dx%d", &one.units, &one.objects); err != nil {
			b.Fatalf("-fleet %s: %v", *custom, err)
		}
		fleets = []shape{one}
	}
	for _, s := range fleets {
		b.Run(s.name, func(b *testing.B) {
			for b.Loop() {
				deliver(b, s)
			}
		})
	}
}

// deliver measures one fleet through its life: first delivery, a commit, a manual change, rest.
func deliver(b *testing.B, s shape) {
	ctx := b.Context()
	c := newCluster(b)
	f := newFleet(b, s, clustertest.Namespace(b))
	raw := c.rawLimit(ctx, b, f)
	b.ReportMetric(raw.Seconds(), "raw-s")

	d := startDaemon(b, c.kubeconfig)
	units := c.follow(ctx, b, f.namespace)
	before, began := d.usage(b), time.Now()
	var profiling sync.WaitGroup
	if *profiled != "" {
		profiling.Go(func() { d.keepProfile(b, *profiled, 8) })
	}
	f.create(ctx, b, c)
	units.await(b, s.units-s.stuck, "", 10*time.Minute)
	report(b, "first", time.Since(began), d.usage(b).since(before))
	profiling.Wait()
	settle(b, d)

	measureCommits(ctx, b, c, d, f, units)
	measureDrift(ctx, b, c, f)
	settle(b, d)
	before = d.usage(b)
	time.Sleep(rest) // what is measured is that nothing happens
	used := d.usage(b).since(before)
	b.ReportMetric(used.requests, "rest-requests")
	b.ReportMetric(100*used.seconds/rest.Seconds(), "rest-%core")
	b.ReportMetric(used.peak, "peak-MB")
	b.ReportMetric(used.own, "own-MB")
	b.ReportMetric(0, "ns/op")
}

// measureCommits takes the median of several commits that change one object each.
func measureCommits(ctx context.Context, b *testing.B, c *cluster, d *daemon, f *fleet, units *standings) {
	b.Helper()
	unit := f.units - 1
	await := c.awaitValue(ctx, b, f.namespace, f.object(unit, 0))
	await("first")
	const rounds = 5
	var live, ready, requests, seconds []float64
	for i := range rounds {
		value := fmt.Sprintf("commit-%d", i)
		before := d.usage(b)
		revision := f.commit(b, unit, 0, value)
		began := time.Now()
		c.ask(ctx, b, f.namespace)
		await(value)
		live = append(live, time.Since(began).Seconds())
		units.await(b, f.units-f.stuck, revision, 5*time.Minute)
		ready = append(ready, time.Since(began).Seconds())
		used := d.usage(b).since(before)
		requests, seconds = append(requests, used.requests), append(seconds, used.seconds)
	}
	b.ReportMetric(median(live), "commit-live-s")
	b.ReportMetric(median(ready), "commit-ready-s")
	b.ReportMetric(median(requests), "commit-requests")
	b.ReportMetric(median(seconds), "commit-cpu-s")
}

// measureDrift takes the median time from a manual change to its undoing.
func measureDrift(ctx context.Context, b *testing.B, c *cluster, f *fleet) {
	b.Helper()
	unit, i := f.stuck, 0
	if f.units == 1 {
		i = f.objects / 2 // the first one was changed by the commits
	}
	name := f.object(unit, i)
	await := c.awaitValue(ctx, b, f.namespace, name)
	await("first")
	var undone []float64
	for i := range 4 {
		live := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: f.namespace}}
		value := fmt.Sprintf("by-hand-%d", i)
		began := time.Now()
		if err := c.api.Patch(ctx, live, client.RawPatch("application/merge-patch+json", []byte(`{"data":{"value":"`+value+`"}}`))); err != nil {
			b.Fatal(err)
		}
		await(value)
		await("first")
		undone = append(undone, time.Since(began).Seconds())
	}
	b.ReportMetric(median(undone), "drift-s")
}

// settle waits until the controller sends nothing any more.
func settle(b *testing.B, d *daemon) {
	b.Helper()
	last, since := d.usage(b).requests, time.Now()
	waitFor(b, 3*time.Minute, "the controller to come to rest", func() bool {
		if now := d.usage(b).requests; now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 2*time.Second
	})
}

func report(b *testing.B, what string, took time.Duration, used usage) {
	b.Helper()
	b.ReportMetric(took.Seconds(), what+"-s")
	b.ReportMetric(used.requests, what+"-requests")
	b.ReportMetric(used.seconds, what+"-cpu-s")
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func decode(manifest string) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	raw, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		return nil, err
	}
	if err := u.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	return u, nil
}
