package trouble

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/kube/stream"
)

func parse(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = u.UnmarshalJSON(raw)
	}
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return u
}

// ward is a watcher whose watches and clock the test plays itself.
type ward struct {
	*Watcher
	t   testing.TB
	now time.Time
}

func newWard(t testing.TB) *ward {
	w := &ward{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.Watcher = New(nil, Options{Now: func() time.Time { return w.now }, Linger: time.Hour})
	w.sets.refused, w.pods.refused, w.events.refused = true, true, true // nobody to ask
	t.Cleanup(w.Stop)
	return w
}

func (w *ward) pass(d time.Duration) { w.now = w.now.Add(d) }

// pod is a Pod of ReplicaSet web-OWNER with the statuses of its containers.
func (w *ward) pod(name, owner, statuses string) {
	u := parse(w.t, fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %[1]s, namespace: d, uid: u-%[1]s, labels: {pod-template-hash: %[2]q},
ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-%[2]s, uid: rs-%[2]s, controller: true}]}, status: %[3]s}`, name, owner, statuses))
	w.lock.Lock()
	defer w.lock.Unlock()
	w.putPod(place{"d", name}, lookAtPod(u))
}

func (w *ward) set(hash, revision string) {
	u := parse(w.t, fmt.Sprintf(`{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web-%[1]s, namespace: d, uid: rs-%[1]s, annotations: {deployment.kubernetes.io/revision: %[2]q},
ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: web, controller: true}]}}`, hash, revision))
	w.lock.Lock()
	defer w.lock.Unlock()
	w.putSet(place{}, lookAtSet(u))
}

func web(revision string) *Workload {
	return &Workload{Key: Key{deployment, "d", "web"}, UID: "web", Generation: 1, Revision: revision, Observed: true}
}

func (w *ward) want(workload *Workload, reason Reason, message, why string) {
	w.t.Helper()
	got, _ := w.Find(workload, false)
	if got.Reason != reason || !strings.Contains(got.Message, message) {
		w.t.Errorf("got %+v, want %s with %q: %s", got, reason, message, why)
	}
}

func waiting(reason, message string, restarts int) string {
	return fmt.Sprintf(`{containerStatuses: [{name: main, image: "example.org/x:1", restartCount: %d, state: {waiting: {reason: %s, message: %q}}, lastState: {terminated: {exitCode: 137, reason: OOMKilled, message: hush}}}]}`, restarts, reason, message)
}

const (
	running = `{containerStatuses: [{name: main, ready: false, state: {running: {}}}]}`
	ready   = `{conditions: [{type: Ready, status: "True"}], containerStatuses: [{name: main, ready: true, state: {running: {}}}]}`
)

// TestRipening: what counts at once, what later, and what never.
func TestRipening(t *testing.T) {
	const never = time.Hour
	tests := map[string]struct {
		why, reason, message string
		restarts             int
		after                time.Duration
		want                 Reason
	}{
		"NotFound":       {why: "tried twice, and not there", reason: "ImagePullBackOff", message: "Back-off: ErrImagePull: x: not found", want: ImagePull},
		"FirstTry":       {why: "the kubelet tries again at once", reason: "ErrImagePull", message: "x: not found", after: never},
		"Unreachable":    {why: "a registry that is away comes back", reason: "ImagePullBackOff", message: "ErrImagePull: dial tcp: i/o timeout", after: never},
		"RateLimited":    {why: "as above", reason: "ImagePullBackOff", message: "toomanyrequests: denied", after: never},
		"Unresolved":     {why: "a wrong name, or a name server with a bad day", reason: "ImagePullBackOff", message: "lookup x: no such host", after: doubtWindow, want: ImagePull},
		"Unexplained":    {why: "older kubelets do not say why", reason: "ImagePullBackOff", message: `Back-off pulling image "timeout/denied"`, after: doubtWindow, want: ImagePull},
		"InvalidName":    {why: "nobody can pull it", reason: "InvalidImageName", want: ImagePull},
		"NeverPull":      {why: "nobody may", reason: "ErrImageNeverPull", want: ImagePull},
		"TwoRestarts":    {why: "it may still find what it waits for", reason: "CrashLoopBackOff", restarts: 2, after: never},
		"ThreeRestarts":  {why: "that is a loop", reason: "CrashLoopBackOff", restarts: 3, want: CrashLoop},
		"ConfigMissing":  {why: "a ConfigMap may follow", reason: "CreateContainerConfigError", message: `secret "x" not found`, after: suppliedWindow, want: Container},
		"CannotCreate":   {why: "a runtime under load", reason: "CreateContainerError", after: suppliedWindow, want: Container},
		"CannotRun":      {why: "as above", reason: "RunContainerError", after: suppliedWindow, want: Container},
		"BeingCreated":   {why: "all in order", reason: "ContainerCreating", after: never},
		"BeingPrepared":  {why: "all in order", reason: "PodInitializing", after: never},
		"SomethingElse":  {why: "what we do not know is no failure", reason: "Meditating", after: never},
		"RegistryIsAway": {why: "the runtime says so", reason: "RegistryUnavailable", after: never},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWard(t)
			w.set("a", "1")
			w.pod("p", "a", waiting(test.reason, test.message, test.restarts))
			if test.want != "" && test.after > 0 || test.want == "" {
				w.want(web("1"), "", "", "not yet: "+test.why)
				if _, again := w.Find(web("1"), false); test.want != "" && !again.Equal(w.now.Add(test.after)) {
					t.Errorf("asks to be asked at %v", again)
				}
			}
			w.pass(test.after)
			w.want(web("1"), test.want, "", test.why)
			if test.want != "" {
				w.want(web("1"), test.want, "Pod p: container main: ", "it is named")
				if got, _ := w.Find(web("1"), false); strings.Contains(got.Message, "hush") {
					t.Error("tells what the container said")
				}
			}
		})
	}
}

// TestGenerations: only the newest ReplicaSet's Pods count.
func TestGenerations(t *testing.T) {
	w := newWard(t)
	bad := waiting("ImagePullBackOff", "not found", 0)
	w.pod("old", "a", bad)
	w.want(web("1"), "", "", "ReplicaSets are not known yet")
	w.set("a", "1")
	w.want(web("1"), ImagePull, "Pod old", "its only one")
	changed := web("1")
	changed.Observed = false
	w.want(changed, "", "", "its controller has not seen the change yet")
	w.set("b", "2")
	w.want(web("1"), "", "", "the Deployment does not say so yet")
	w.want(web("2"), "", "", "a Pod of before")
	w.pod("new", "b", bad)
	w.want(web("2"), ImagePull, "Pod new", "both are bad")
	w.set("a", "3")
	w.want(web("3"), ImagePull, "Pod old", "rolled back, the old one is the newest")
	w.pod("old", "a", ready)
	w.want(web("3"), "", "", "and well again")
	other := web("3")
	other.UID = "another"
	w.pod("old", "a", bad)
	w.want(other, "", "", "of a Deployment of the same name before")
}

// TestCrashLoopCalms: a moment between two crashes is no recovery.
func TestCrashLoopCalms(t *testing.T) {
	w := newWard(t)
	w.set("a", "1")
	w.pod("p", "a", waiting("CrashLoopBackOff", "", 3))
	w.want(web("1"), CrashLoop, "after 3 restarts; it ended with code 137 (OOMKilled)", "a loop")
	w.pod("p", "a", running)
	w.want(web("1"), CrashLoop, "", "it has only just been started")
	w.pod("p", "a", ready)
	if got, _ := w.Find(web("1"), true); got.Reason != CrashLoop {
		t.Error("it is ready for a moment only, whatever its Deployment says")
	}
	w.pod("p", "a", waiting("CrashLoopBackOff", "", 4))
	w.pod("p", "a", ready)
	known := w.patientAt(place{"d", "p"})
	w.lock.Lock()
	w.discharge(place{"d", "p"}, known) // what a timer does
	w.lock.Unlock()
	w.want(web("1"), "", "", "it stayed ready")
}

// TestPullKeepsItsCause: the kubelet tells the cause when it tries, and may only wait after that.
func TestPullKeepsItsCause(t *testing.T) {
	w := newWard(t)
	w.set("a", "1")
	w.pod("p", "a", waiting("ErrImagePull", "manifest unknown", 0))
	w.pod("p", "a", waiting("ImagePullBackOff", "Back-off", 0))
	w.want(web("1"), ImagePull, "manifest unknown", "the cause was told")
	w.pod("p", "a", waiting("ErrImagePull", "manifest unknown", 0))
	w.want(web("1"), ImagePull, "", "another try does not change it")
	w.pod("q", "a", waiting("ErrImagePull", "connection refused", 0))
	w.pod("q", "a", waiting("ImagePullBackOff", "Back-off", 0))
	w.lock.Lock()
	w.dropPod(place{"d", "p"})
	w.lock.Unlock()
	w.pass(time.Hour)
	w.want(web("1"), "", "", "the registry is away")
}

// TestRefusals: what the server says of Pods that it does not take.
func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		why, message string
		draining     bool
		after        time.Duration
		want         Reason
	}{
		"Quota":       {why: "no room", message: `pods "x" is forbidden: exceeded quota: q`, after: refusedWindow, want: Quota},
		"Draining":    {why: "Pods of before may have to end first", message: `pods "x" is forbidden: exceeded quota: q`, draining: true, after: drainWindow, want: Quota},
		"PodSecurity": {why: "a policy", message: `pods "x" is forbidden: violates PodSecurity "restricted:latest"`, draining: true, after: refusedWindow, want: Refused},
		"Webhook":     {why: "a policy", message: `admission webhook "w" denied the request: no`, after: refusedWindow, want: Refused},
		"Account":     {why: "an account may follow", message: `pods "x" is forbidden: error looking up service account a/b: serviceaccount "b" not found`, after: suppliedWindow, want: Refused},
		"WebhookAway": {why: "nobody refused it", message: `Internal error occurred: failed calling webhook "w": connection refused`},
		"Uncounted":   {why: "the quota is new", message: `pods "x" is forbidden: status unknown for quota: q`},
		"Terminating": {why: "the namespace goes", message: `pods "x" is forbidden: unable to create new content in namespace n because it is being terminated`},
		"Else":        {why: "unknown", message: `something`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWard(t)
			workload := web("1")
			workload.Refusal, workload.Draining = test.message, test.draining
			workload.Follow(nil, w.now)
			w.want(workload, "", "", "not yet")
			if test.want == "" {
				w.pass(time.Hour)
			}
			w.pass(test.after)
			later := web("1")
			later.Refusal, later.Draining = test.message, test.draining
			later.Follow(workload, w.now)
			w.want(later, test.want, "", test.why)
			if got, _ := w.Find(later, true); got.Reason != "" {
				t.Error("counts for what is well")
			}
			later.Generation++
			later.Follow(workload, w.now)
			w.want(later, "", "", "a change begins anew")
		})
	}
}

func event(name, message, at string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": name, "namespace": "d"}, "message": message, "lastTimestamp": at,
		"involvedObject": map[string]any{"kind": "StatefulSet", "namespace": "d", "name": "db", "uid": "db"},
	}}
}

// TestEvents: a StatefulSet's refused Pods are told by Events, of which most are of the past.
func TestEvents(t *testing.T) {
	const refused = `create Pod db-0 in StatefulSet db failed error: pods "db-0" is forbidden: exceeded quota: q`
	w := newWard(t)
	db := &Workload{Key: Key{statefulSet, "d", "db"}, UID: "db", Generation: 1, Revision: "r1", Observed: true}
	hear := func(u *unstructured.Unstructured) {
		w.lock.Lock()
		defer w.lock.Unlock()
		w.putEvent(place{"d", u.GetName()}, lookAtEvent(u))
	}
	list := func(events ...*unstructured.Unstructured) {
		w.lock.Lock()
		defer w.lock.Unlock()
		var items []stream.Item[*complaint]
		for _, u := range events {
			items = append(items, stream.Item[*complaint]{Namespace: "d", Name: u.GetName(), Value: lookAtEvent(u)})
		}
		w.replaceEvents(items)
	}
	list(event("e", refused, "2025-12-31T23:30:00Z"))
	w.pass(refusedWindow)
	w.want(db, "", "", "half an hour old")
	hear(event("e", refused, w.now.Format(time.RFC3339)))
	w.want(db, "", "", "not yet")
	w.pass(refusedWindow)
	w.want(db, Quota, "exceeded quota", "it lasts")
	again := event("e", refused, w.now.Format(time.RFC3339))
	hear(again)
	list(again)
	w.want(db, Quota, "", "said again")
	changed := *db
	changed.Generation, changed.Since = 2, w.now.Add(time.Minute)
	w.want(&changed, "", "", "of before the change")

	created := &pod{owner: "db", key: db.Key, created: w.now}
	w.lock.Lock()
	keys := w.putPod(place{"d", "db-0"}, created)
	w.lock.Unlock()
	if diff := cmp.Diff([]Key{db.Key}, keys); diff != "" {
		t.Error(diff)
	}
	w.want(db, "", "", "a Pod was created since")
	hear(event("e", refused, w.now.Format(time.RFC3339)))
	list()
	w.pass(time.Hour)
	w.want(db, "", "", "the Event is gone")
}

// TestReplacePods: what a list lacks is gone.
func TestReplacePods(t *testing.T) {
	w := newWard(t)
	w.set("a", "1")
	w.pod("p", "a", waiting("ImagePullBackOff", "not found", 0))
	w.lock.Lock()
	keys := w.replacePods(nil)
	w.lock.Unlock()
	if diff := cmp.Diff([]Key{web("").Key}, keys); diff != "" || len(w.sick)+len(w.places) > 0 {
		t.Error(diff, w.sick)
	}
}

func TestTidy(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"Lines":     {"one\ntwo", "one"},
		"Signature": {`GET "https://r.example/v2/x?X-Amz-Signature=abc": 500`, `GET "https://r.example/v2/x": 500`},
		"Two":       {"https://a?b https://c#d e", "https://a https://c e"},
		"Long":      {strings.Repeat("ä", 400), strings.Repeat("ä", 150) + "…"},
		"Nothing":   {" ", ""},
	}
	for name, test := range tests {
		if got := tidy(test.text); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// FuzzLook: whatever a server sends, nothing breaks and messages stay short.
func FuzzLook(f *testing.F) {
	f.Add(`{"metadata":{"name":"a","ownerReferences":[{"kind":"Job","name":"x","controller":true}]},"status":` + `{"containerStatuses":[{"name":7,"state":{"waiting":{"reason":"ImagePullBackOff","message":"a://b?c"}}}]}}`)
	f.Add(`{"metadata":{"labels":{"pod-template-hash":"-"},"ownerReferences":[{"kind":"ReplicaSet","name":"-","controller":true}]}}`)
	f.Add(`{"involvedObject":{"kind":"Job","uid":"u"},"message":"forbidden","lastTimestamp":"x","series":7}`)
	f.Add(`{"kind":"Deployment","spec":{"strategy":{"rollingUpdate":{"maxUnavailable":"-9%"}}},"status":{"replicas":3,"conditions":[7,{"type":"ReplicaFailure","status":"True"}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		u := &unstructured.Unstructured{}
		if yaml.Unmarshal([]byte(text), &u.Object) != nil || u.Object == nil {
			return
		}
		if p := lookAtPod(u); p != nil && p.ailment != nil && strings.Contains(p.ailment.message, "\n") {
			t.Errorf("message of several lines: %q", p.ailment.message)
		}
		lookAtEvent(u)
		lookAtSet(u)
		Of(u)
		if got := tidy(text); len(got) > maxText+len("…") || strings.Contains(got, "\n") {
			t.Errorf("%q", got)
		}
	})
}

// benchPod is a healthy Pod of the usual size.
func benchPod(t testing.TB, i int) *unstructured.Unstructured {
	return parse(t, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: web-%[1]d-5d8f-abcde, namespace: team-%[2]d, uid: 8f1de4b2-8a5a-4c0e-9e55-%012[1]d, labels: {app: web, pod-template-hash: 5d8f},
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-%[1]d-5d8f, uid: rs-%[1]d, controller: true}]}
status:
  phase: Running
  conditions: [{type: Initialized, status: "True"}, {type: Ready, status: "True"}, {type: ContainersReady, status: "True"}, {type: PodScheduled, status: "True"}]
  containerStatuses: [{name: main, image: "example.org/app:1", ready: true, restartCount: 0, state: {running: {startedAt: "2026-01-01T00:00:00Z"}}}]
`, i, i/100))
}

// TestMemoryOfHealthyPods: ten thousand Pods that are well leave nothing behind.
func TestMemoryOfHealthyPods(t *testing.T) {
	w := newWard(t)
	before := heap()
	for i := range 10_000 {
		u := benchPod(t, i)
		w.putPod(place{u.GetNamespace(), u.GetName()}, lookAtPod(u))
	}
	if bytes := heap() - before; bytes > 100_000 || len(w.places) > 0 {
		t.Errorf("%d bytes are held", bytes)
	}
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// BenchmarkHealthyPod is what an event of a Pod that is well costs once it is decoded.
func BenchmarkHealthyPod(b *testing.B) {
	w := newWard(b)
	u := benchPod(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		w.putPod(place{"d", "p"}, lookAtPod(u))
	}
}

// BenchmarkSickFleet is ten thousand Pods that turn sick and well again, of a hundred workloads.
func BenchmarkSickFleet(b *testing.B) {
	w := newWard(b)
	var sick, well []*pod
	for i := range 10_000 {
		p := lookAtPod(benchPod(b, i))
		p.key.Name = fmt.Sprint(i % 100)
		p.uid = types.UID(fmt.Sprint(i))
		ill := *p
		ill.ailment = &ailment{reason: ImagePull, blame: blameImage, backOff: true, message: "container main: image cannot be pulled"}
		sick, well = append(sick, &ill), append(well, p)
	}
	before := heap()
	b.ReportAllocs()
	for b.Loop() {
		for i, p := range sick {
			w.putPod(place{"d", fmt.Sprint(i)}, p)
		}
		b.ReportMetric(float64(heap()-before)/float64(len(sick)), "B/pod")
		for i, p := range well {
			w.putPod(place{"d", fmt.Sprint(i)}, p)
		}
	}
	if len(w.places) > 0 {
		b.Error("not all are well again")
	}
}
