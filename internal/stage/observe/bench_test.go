package observe

import (
	"fmt"
	"runtime"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/kube/stream"
	"holdfast.dev/holdfast/internal/model/object"
)

// benchObject is a Deployment of the usual size, as the API server sends it.
func benchObject(i, version int) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"app-%[1]d","namespace":"team-%[2]d",
"uid":"8f1de4b2-8a5a-4c0e-9e55-%012[1]d","resourceVersion":"%[3]d","generation":3,"creationTimestamp":"2026-01-01T00:00:00Z",
"labels":{"app":"app-%[1]d","kustomize.toolkit.fluxcd.io/name":"team-%[2]d","kustomize.toolkit.fluxcd.io/namespace":"flux-system"},
"annotations":{"deployment.kubernetes.io/revision":"3"},
"managedFields":[
{"manager":"kustomize-controller","operation":"Apply","apiVersion":"apps/v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:labels":{"f:app":{},"f:kustomize.toolkit.fluxcd.io/name":{},"f:kustomize.toolkit.fluxcd.io/namespace":{}}},"f:spec":{"f:replicas":{},"f:selector":{},"f:template":{"f:metadata":{"f:labels":{"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"main\"}":{".":{},"f:name":{},"f:image":{},"f:args":{},"f:ports":{"k:{\"containerPort\":8080,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}},"f:resources":{"f:limits":{"f:memory":{}},"f:requests":{"f:cpu":{},"f:memory":{}}}}}}}}}},
{"manager":"kube-controller-manager","operation":"Update","apiVersion":"apps/v1","time":"2026-01-01T00:00:01Z","fieldsType":"FieldsV1","subresource":"status","fieldsV1":{"f:metadata":{"f:annotations":{".":{},"f:deployment.kubernetes.io/revision":{}}},"f:status":{"f:availableReplicas":{},"f:conditions":{".":{},"k:{\"type\":\"Available\"}":{".":{},"f:status":{}},"k:{\"type\":\"Progressing\"}":{".":{},"f:status":{}}},"f:observedGeneration":{},"f:readyReplicas":{},"f:replicas":{},"f:updatedReplicas":{}}}}]},
"spec":{"replicas":2,"selector":{"matchLabels":{"app":"app-%[1]d"}},"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":"25%%","maxUnavailable":"25%%"}},"revisionHistoryLimit":10,"progressDeadlineSeconds":600,
"template":{"metadata":{"labels":{"app":"app-%[1]d"}},"spec":{"restartPolicy":"Always","dnsPolicy":"ClusterFirst","schedulerName":"default-scheduler","terminationGracePeriodSeconds":30,"securityContext":{},
"containers":[{"name":"main","image":"example.org/app:1.2.3","args":["--port=8080","--verbose"],"ports":[{"containerPort":8080,"protocol":"TCP"}],"resources":{"limits":{"memory":"128Mi"},"requests":{"cpu":"100m","memory":"64Mi"}},"imagePullPolicy":"IfNotPresent","terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}]}}},
"status":{"observedGeneration":3,"replicas":2,"updatedReplicas":2,"readyReplicas":2,"availableReplicas":2,"conditions":[{"type":"Available","status":"True","reason":"MinimumReplicasAvailable"},{"type":"Progressing","status":"True","reason":"NewReplicaSetAvailable"}]}}`, i, i/10, version)
}

func benchRef(i int) object.Ref {
	return object.Ref{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: fmt.Sprintf("team-%d", i/10), Name: fmt.Sprintf("app-%d", i)}
}

func decode(t testing.TB, raw []byte) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}

// populated is a stage whose units own Deployments, ten each, which its watch has listed.
func populated(t testing.TB, count int) (*stage, stream.Sink[sighting]) {
	s := newStage(t)
	for first := 0; first < count; first += 10 {
		claim := Claim{Owner: object.Owner{Namespace: "flux-system", Name: fmt.Sprintf("team-%d", first/10)}}
		for i := range 10 {
			claim.Owned = append(claim.Owned, benchRef(first+i))
		}
		if err := s.observer.Claim(claim); err != nil {
			t.Fatal(err)
		}
	}
	s.observer.lock.Lock()
	f := s.observer.kinds[decode(t, benchObject(0, 1)).GroupVersionKind().GroupKind()].feed
	f.run = &run{feed: f, stop: func() {}}
	sink := s.observer.sink(f.run)
	s.observer.lock.Unlock()
	items := make([]stream.Item[sighting], 0, count)
	for i := range count {
		u := decode(t, benchObject(i, i+1))
		items = append(items, stream.Item[sighting]{
			Namespace: u.GetNamespace(), Name: u.GetName(), ResourceVersion: u.GetResourceVersion(), Value: sink.Look(u),
		})
	}
	sink.Replace(items, stream.Position{ResourceVersion: fmt.Sprint(count), Latest: true})
	return s, sink
}

// BenchmarkEvent is what an event costs once it is decoded, among ten thousand objects.
func BenchmarkEvent(b *testing.B) {
	const count = 10_000
	_, sink := populated(b, count)
	objects := make([]*unstructured.Unstructured, 100)
	for i := range objects {
		objects[i] = decode(b, benchObject(i*(count/len(objects)), 1))
	}
	b.ReportAllocs()
	version := count
	for b.Loop() {
		version++
		u := objects[version%len(objects)]
		u.SetResourceVersion(fmt.Sprint(version))
		sink.Put(stream.Item[sighting]{
			Namespace: u.GetNamespace(), Name: u.GetName(), ResourceVersion: u.GetResourceVersion(), Value: sink.Look(u),
		})
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkDecode is what client-go takes to decode the same object, for comparison.
func BenchmarkDecode(b *testing.B) {
	raw := benchObject(1, 1)
	b.ReportAllocs()
	for b.Loop() {
		decode(b, raw)
	}
}

// BenchmarkState is what a unit pays to look at an object.
func BenchmarkState(b *testing.B) {
	s, _ := populated(b, 10_000)
	refs := make([]object.Ref, 1000)
	for i := range refs {
		refs[i] = benchRef(i * 10)
	}
	i := 0
	for b.Loop() {
		if i++; !s.observer.State(refs[i%len(refs)]).Exists {
			b.Fatal("not there")
		}
	}
}

// BenchmarkClaim is what a unit of a thousand objects pays to repeat its claim.
func BenchmarkClaim(b *testing.B) {
	s := newStage(b)
	claim := Claim{Owner: testUnit}
	for i := range 1000 {
		claim.Owned = append(claim.Owned, benchRef(i))
	}
	for b.Loop() {
		if err := s.observer.Claim(claim); err != nil {
			b.Fatal(err)
		}
	}
}

// TestMemory holds the promise of less than a kilobyte for an object, whatever its size.
func TestMemory(t *testing.T) {
	const count, limit = 10_000, 1000
	before := heap()
	s, _ := populated(t, count)
	bytes := (heap() - before) / count
	stats := s.observer.Stats()
	t.Logf("%d bytes of heap for each of %d objects; estimated %d", bytes, stats.Records, stats.Bytes/stats.Records)
	if bytes > limit {
		t.Errorf("%d bytes for an object, want at most %d", bytes, limit)
	}
	if stats.Records < count || s.observer.State(benchRef(77)).Health.Status != Current {
		t.Errorf("%+v", stats)
	}
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}
