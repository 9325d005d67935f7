package trouble

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/kube"
)

// fleetPod is a Pod that is well, as an API server sends it.
func fleetPod(i, version int) string {
	volumes := `{"name":"kube-api-access","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},{"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}}],"defaultMode":420}}`
	fields := strings.Repeat(`"f:field":{".":{},"f:name":{},"f:value":{}},`, 60)
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-%[1]d-5d8f9c7b4-abcde","generateName":"web-%[1]d-5d8f9c7b4-","namespace":"team-%[3]d",
"uid":"8f1de4b2-8a5a-4c0e-9e55-%012[1]d","resourceVersion":"%[2]d","creationTimestamp":"2026-01-01T00:00:00Z","labels":{"app":"web","pod-template-hash":"5d8f9c7b4"},
"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-%[1]d-5d8f9c7b4","uid":"rs-%[1]d","controller":true,"blockOwnerDeletion":true}],
"managedFields":[{"manager":"kube-controller-manager","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{%[4]s"f:spec":{}}}]},
"spec":{"volumes":[%[5]s],"containers":[{"name":"main","image":"example.org/app:1.2.3","args":["--port=8080"],"ports":[{"containerPort":8080,"protocol":"TCP"}],"env":[{"name":"A","value":"1"},{"name":"B","value":"2"}],"resources":{"limits":{"memory":"128Mi"},"requests":{"cpu":"100m","memory":"64Mi"}},"livenessProbe":{"httpGet":{"path":"/healthz","port":8080,"scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10},"readinessProbe":{"httpGet":{"path":"/readyz","port":8080,"scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10}}],"restartPolicy":"Always","nodeName":"node-1","tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}]},
"status":{"phase":"Running","conditions":[{"type":"PodReadyToStartContainers","status":"True"},{"type":"Initialized","status":"True"},{"type":"Ready","status":"True"},{"type":"ContainersReady","status":"True"},{"type":"PodScheduled","status":"True"}],"hostIP":"10.0.0.1","podIP":"10.1.0.1","startTime":"2026-01-01T00:00:00Z",
"containerStatuses":[{"name":"main","image":"example.org/app:1.2.3","imageID":"example.org/app@sha256:0000000000000000000000000000000000000000000000000000000000000000","ready":true,"started":true,"restartCount":0,"state":{"running":{"startedAt":"2026-01-01T00:00:00Z"}}}],"qosClass":"Burstable"}}`,
		i, version, i/100, fields, volumes)
}

// fleet serves a watch that brings the Pods, then a change of each, then one Pod that is ill.
func fleet(t testing.TB, count int) *kube.Cluster {
	t.Helper()
	began := fmt.Sprintf(`{"type":"BOOKMARK","object":{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"%d","annotations":{"k8s.io/initial-events-end":"true"}}}}`, count)
	server := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		answer.Header().Set("Content-Type", "application/json")
		for i := range count {
			_, _ = fmt.Fprintf(answer, `{"type":"ADDED","object":%s}`, fleetPod(i, i+1))
		}
		_, _ = fmt.Fprint(answer, began)
		for i := range count {
			_, _ = fmt.Fprintf(answer, `{"type":"MODIFIED","object":%s}`, fleetPod(i, count+i+1))
		}
		last := strings.Replace(fleetPod(count, 2*count+1), `"state":{"running":{"startedAt":"2026-01-01T00:00:00Z"}}`, `"state":{"waiting":{"reason":"InvalidImageName"}}`, 1)
		_, _ = fmt.Fprintf(answer, `{"type":"ADDED","object":%s}`, last)
		answer.(http.Flusher).Flush() //nolint:forcetypeassert // it is one
		<-request.Context().Done()
	}))
	t.Cleanup(server.Close)
	cluster, err := kube.Connect("", &rest.Config{Host: server.URL}, kube.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

// BenchmarkFleet is the watch of ten thousand Pods that are well: all of them once, and a change of each.
// The server's part is in it.
func BenchmarkFleet(b *testing.B) {
	const count = 10_000
	for b.Loop() {
		cluster := fleet(b, count)
		before := heap()
		seen := make(chan struct{})
		w := New(cluster, Options{Linger: time.Hour, Changed: func([]Key) { close(seen) }})
		peak := peakHeap(func() {
			w.Want(true, false)
			<-seen
		})
		b.ReportMetric(float64(heap()-before)/1e6, "MB-kept")
		b.ReportMetric(float64(peak-before)/1e6, "MB-peak")
		w.Stop()
	}
}

// peakHeap returns the largest heap while something is done.
func peakHeap(do func()) int {
	done := make(chan struct{})
	result := make(chan int)
	go func() {
		peak := 0
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				result <- peak
				return
			case <-tick.C:
				var stats runtime.MemStats
				runtime.ReadMemStats(&stats)
				peak = max(peak, int(stats.HeapAlloc))
			}
		}
	}()
	do()
	close(done)
	return <-result
}

// BenchmarkDecode is what client-go takes to decode such a Pod, for comparison.
func BenchmarkDecode(b *testing.B) {
	raw := []byte(fleetPod(1, 1))
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if err := (&unstructured.Unstructured{}).UnmarshalJSON(raw); err != nil {
			b.Fatal(err)
		}
	}
}
