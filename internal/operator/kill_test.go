package operator_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/operator"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/audit/anchor"
	"holdfast.dev/holdfast/internal/record/database"
	"holdfast.dev/holdfast/internal/record/history"
)

var (
	kills    = flag.Int("kills", 102, "how often the daemon is killed in TestKilledAnywhere")
	killSeed = flag.Uint64("kill-seed", 0, "seed of TestKilledAnywhere; 0 is another one each time")
)

// killLanes is how many daemons are killed side by side: each of them waits half of the time.
const killLanes = 3

// TestKilledAnywhere: the daemon that people run is killed with SIGKILL, in the midst of deliveries and
// rollbacks, and started again. After each death no object is orphaned and the audit log verifies; when
// it is left in peace, all is as Git wants, and everything that was begun has an outcome on record.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	shared(t)
	seed := *killSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -kill-seed %d", seed)
	binary := clustertest.Program(t, "holdfast.dev/holdfast/cmd/holdfast-controller")
	began := time.Now()
	var during sync.Map // of what it was killed during, by verdict
	t.Run("lanes", func(t *testing.T) {
		for lane := range killLanes {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				k := newKiller(t, binary, rand.New(rand.NewPCG(seed, uint64(lane))))
				for range (*kills + killLanes - 1) / killLanes {
					verdict := k.kill()
					count, _ := during.LoadOrStore(verdict, new(atomic.Int32))
					count.(*atomic.Int32).Add(1) //nolint:forcetypeassert // nothing else is put in
				}
				k.rest()
			})
		}
	})
	said := map[string]int32{}
	during.Range(func(verdict, count any) bool {
		said[fmt.Sprint(verdict)] = count.(*atomic.Int32).Load() //nolint:forcetypeassert // nothing else is put in
		return true
	})
	t.Logf("killed while the newest release was: %v; all of it took %s", said, time.Since(began).Round(time.Second))
	if *kills >= 100 && said[string(release.RollingBack)] == 0 {
		t.Error("no kill met a rollback")
	}
}

// killer is a world whose daemon is a process, and reaches the API server through a gate that kills it.
type killer struct {
	*crasher
	binary, kubeconfig, log string
	gate                    *gate
	cluster                 *kube.Cluster
	head                    string
	seen                    atomic.Pointer[kustomizev1.Kustomization]
	news                    chan struct{} // has room for one: the unit changed
}

func newKiller(t *testing.T, binary string, random *rand.Rand) *killer {
	t.Helper()
	dir := t.TempDir()
	k := &killer{
		crasher: &crasher{world: emptyWorld(t), random: random, dir: filepath.Join(dir, "store"), files: map[string]string{}},
		binary:  binary, kubeconfig: filepath.Join(dir, "kubeconfig"), log: filepath.Join(dir, "log"), news: make(chan struct{}, 1),
	}
	k.own, k.home = true, k.namespace
	k.daemon = &daemon{Operator: &operator.Operator{}} // a process is told of commits by annotation
	k.gate = newGate(t, clustertest.Start(t))
	check(t, os.WriteFile(k.kubeconfig, []byte("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: '"+k.gate.address+"'}}]\n"+
		"contexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n"), 0o600))
	var err error
	k.cluster, err = kube.Connect("", clustertest.Start(t), kube.Options{})
	check(t, err)
	k.head = k.commit(map[string]string{"apps/keep.yaml": configMap("keep", "n: '0'")})
	k.source()
	k.unit("apps", waits, unbaked, judgedByState)
	k.follow()
	process := k.start()
	k.settled(nil)
	k.end(process)
	return k
}

// follow keeps what the unit is at.
func (k *killer) follow() {
	ctx, cancel := context.WithCancel(context.Background())
	k.t.Cleanup(cancel)
	go func() {
		for ctx.Err() == nil {
			watcher, err := k.client.Watch(ctx, &kustomizev1.KustomizationList{}, client.InNamespace(k.namespace))
			if err != nil {
				continue
			}
			for event := range watcher.ResultChan() {
				if unit, ok := event.Object.(*kustomizev1.Kustomization); ok {
					k.seen.Store(unit)
					select {
					case k.news <- struct{}{}:
					default:
					}
				}
			}
		}
	}()
}

// start runs the daemon.
func (k *killer) start() *exec.Cmd {
	k.t.Helper()
	log, err := os.OpenFile(k.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	check(k.t, err)
	defer func() { _ = log.Close() }()
	process := exec.Command(k.binary, "--kubeconfig", k.kubeconfig, "--storage-path", k.dir, "--runtime-namespace", k.namespace, "--watch-all-namespaces=false",
		"--storage-addr", "127.0.0.1:0", "--metrics-addr", "0", "--health-addr", "0", "--receiverAddr", "0")
	process.Stdout, process.Stderr = log, log
	check(k.t, process.Start())
	k.t.Cleanup(func() { _ = process.Process.Kill() })
	return process
}

// end kills a daemon, unless the gate did, and makes sure that this is what it died of.
func (k *killer) end(process *exec.Cmd) {
	k.t.Helper()
	_ = process.Process.Kill()
	err := process.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		k.fail("the daemon was not killed: %v", err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		k.fail("the daemon ended by itself: %v", err)
	}
	eventually.True(k.t, "nothing of the dead daemon is under way any more", func() bool { return k.gate.flying.Load() == 0 })
}

func (k *killer) fail(format string, args ...any) {
	k.t.Helper()
	log, _ := os.ReadFile(k.log)
	k.t.Fatalf(format+"\nthe unit: %s\nthe daemon said:\n%s", append(args, describe(k.seen.Load()), log[max(0, len(log)-4000):])...)
}

// kill lets the daemon live until the gate kills it at work, and returns what it was at. A daemon that
// gets through with its work is killed as well, which does not count.
func (k *killer) kill() release.Verdict {
	k.t.Helper()
	for {
		if k.atRest() {
			k.wish()
		}
		process := k.start()
		dead := k.gate.arm(k.random.IntN(16), moment(k.random.IntN(moments)), func() { _ = process.Process.Kill() })
		atWork := !k.settled(dead)
		k.end(process)
		k.survey()
		if atWork {
			latest, _ := k.releases("apps").Latest()
			return latest.Verdict
		}
	}
}

// wish commits something, and where nothing is tried any more, asks for one more try.
func (k *killer) wish() {
	k.t.Helper()
	before := k.head
	for k.head == before {
		k.head = cmp.Or(k.change(), before)
	}
	k.announce()
}

// announce tells the daemon, should it live, of a commit, and acknowledges that the unit was frozen.
func (k *killer) announce() {
	token := k.head
	source := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: k.namespace, Name: sourceName}}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"`+meta.ReconcileRequestAnnotation+`":"`+token+`"}}}`))
	check(k.t, k.client.Patch(context.Background(), source, patch))
	if condition(k.get("apps"), meta.ReadyCondition).Reason == "Frozen" {
		k.crasher.world.change("apps", func(u *kustomizev1.Kustomization) { annotate(u, "holdfast.dev/retry", token) })
	}
}

// settled waits until the daemon is through with the head of the branch, and tells so, or until it is
// dead.
func (k *killer) settled(dead <-chan struct{}) bool {
	k.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for !k.atRest() {
		select {
		case <-dead:
			return false
		case <-k.news:
		case <-late.C:
			k.fail("nothing came of %s", k.head)
		}
	}
	return true
}

// atRest tells whether the unit's status is the end of a story about the head of the branch.
func (k *killer) atRest() bool {
	u := k.seen.Load()
	if u == nil || u.Status.ObservedGeneration != u.Generation || u.Status.LastAttemptedRevision != k.head {
		return false
	}
	if asked := u.Annotations["holdfast.dev/retry"]; asked == k.head && condition(u, meta.ReadyCondition).Reason == "Frozen" && !k.answered(asked) {
		return false // the status is that of before the request
	}
	ready := condition(u, meta.ReadyCondition)
	switch {
	case ready.Status == metav1.ConditionTrue:
		return u.Status.LastAppliedRevision == k.head
	case ready.Status == metav1.ConditionFalse:
		return slices.Contains([]string{"RolledBack", "RollbackFailed", "Frozen"}, ready.Reason) && strings.Contains(ready.Message, "Git wants "+k.head)
	}
	return false
}

// answered tells whether the request with a token came to an end.
func (k *killer) answered(token string) bool {
	book := k.releases("apps")
	latest, _ := book.Latest()
	return latest.Verdict != release.RollingBack && latest.Verdict != release.Pending && book.Answered("holdfast.dev/retry="+token)
}

// survey looks at what a death left behind: every object is known, and the log is whole.
func (k *killer) survey() {
	k.t.Helper()
	ctx := context.Background()
	var live corev1.ConfigMapList // before what knows of them, which is written first
	check(k.t, k.client.List(ctx, &live, client.InNamespace(k.namespace), client.MatchingLabels{rule + "name": "apps"}))
	known := map[string]bool{}
	if inventory := k.get("apps").Status.Inventory; inventory != nil {
		for _, entry := range inventory.Entries {
			known[strings.Split(entry.ID, "_")[1]] = true
		}
	}
	unit := object.Owner{Namespace: k.namespace, Name: "apps"}
	shelf := history.New(k.cluster, k.home, kustomizev1.KustomizationKind)
	book, err := shelf.Book(ctx, unit)
	check(k.t, err)
	for _, one := range book {
		if !one.Written() {
			continue
		}
		objects, err := shelf.Objects(ctx, unit, one.Number)
		check(k.t, err)
		for _, kept := range objects {
			known[kept.Ref.Name] = true
		}
	}
	for _, one := range live.Items {
		if !known[one.Name] {
			k.fail("ConfigMap %s is in no inventory and in no release: it is orphaned", one.Name)
		}
	}
	k.verify()
}

// verify checks the audit log, against the checkpoint in the cluster too, and returns what it holds.
func (k *killer) verify() []audit.Record {
	k.t.Helper()
	ctx := context.Background()
	file := filepath.Join(k.dir, operator.RecordFile)
	if _, err := os.Stat(file); err != nil {
		return nil // it died before there was a log
	}
	db, err := database.OpenToRead(database.File(file))
	check(k.t, err)
	defer func() { _ = db.Close() }()
	trust := audit.Trust{}
	last, err := anchor.Cluster{Client: k.client, Namespace: k.home}.Last(ctx)
	check(k.t, err)
	if last.Note != "" {
		trust = audit.Trust{Verifiers: []string{last.Verifier}, Notes: []string{last.Note}}
	}
	if _, err := audit.Verify(ctx, db, trust); err != nil {
		k.fail("the audit log does not verify: %v", err)
	}
	found, err := audit.List(ctx, db, audit.Filter{Subject: "Kustomization/" + k.namespace + "/apps"})
	check(k.t, err)
	return found
}

// rest leaves the daemon in peace, and checks that everything comes to what it should.
func (k *killer) rest() {
	k.t.Helper()
	process := k.start()
	k.settled(nil)
	k.head = k.heal()
	k.announce()
	k.settled(nil)
	k.ready("apps", k.head)
	k.good("apps")
	k.compare("after a good commit")
	kept := maps.Clone(k.files)
	k.head = k.commit(map[string]string{"apps/a.yaml": configMap("a", "state: broken"), "apps/extra.yaml": configMap("extra", "n: '1'"), "apps/keep.yaml": ""})
	k.announce()
	k.settled(nil)
	if u := k.seen.Load(); isReady(u) {
		k.fail("a broken commit is ready")
	}
	k.files = kept
	k.compare("after a bad commit")
	k.end(process)
	k.outcomes(k.verify())
}

// outcomes checks that each verdict that a release has is on record: a death between the two must not
// lose it.
func (k *killer) outcomes(found []audit.Record) {
	k.t.Helper()
	told := map[string]bool{}
	for _, one := range found {
		told[fmt.Sprint(one.Entry.Release, one.Entry.Kind)] = true
	}
	for _, one := range k.releases("apps") {
		want := []record.Kind{record.ReleaseBegun}
		switch one.Verdict {
		case release.Good:
			want = append(want, record.ReleaseGood)
		case release.RolledBack:
			want = append(want, record.ReleaseFailed, record.RollbackBegun, record.RolledBack, record.Held)
		case release.RollbackFailed:
			want = append(want, record.ReleaseFailed, record.RollbackFailed, record.Held)
		}
		if one.Frozen {
			want = append(want, record.Frozen)
		}
		for _, kind := range want {
			if !told[fmt.Sprint(one.Number, kind)] {
				k.t.Errorf("release %d is %s, and %s is not recorded", one.Number, one.Verdict, kind)
			}
		}
	}
}

// moment is when a process dies, as seen from one of its requests.
type moment int

const (
	unsent   moment = iota // the request never arrives
	unknown                // it is carried out, and the answer never arrives
	answered               // the answer arrives, and it is over with it a moment later
	moments  = 3
)

// gate stands between a daemon and the API server, and kills at the request that it was told.
type gate struct {
	address string
	next    http.RoundTripper
	flying  atomic.Int32 // what the daemon has asked and is not answered yet, but for watches
	lock    sync.Mutex
	left    int // writes until the fatal one; negative is none
	when    moment
	strike  func()
}

// newGate serves a gate on loopback. It has the rights of config.
func newGate(t *testing.T, config *rest.Config) *gate {
	t.Helper()
	next, err := rest.TransportFor(config)
	check(t, err)
	target, err := url.Parse(config.Host)
	check(t, err)
	g := &gate{next: next, left: -2}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: g, FlushInterval: -1,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // the line is cut
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	g.address = server.URL
	return g
}

// arm makes the gate strike at the write after so many others. The channel is closed then.
func (g *gate) arm(after int, when moment, strike func()) <-chan struct{} {
	g.lock.Lock()
	defer g.lock.Unlock()
	dead := make(chan struct{})
	g.left, g.when, g.strike = after, when, func() { strike(); close(dead) }
	return dead
}

// fatal tells whether a request is the one, and if so, when to strike.
func (g *gate) fatal(r *http.Request) (func(), moment) {
	writes := r.Method != http.MethodGet && !strings.Contains(r.URL.Path, "/events") && r.URL.Query().Get("dryRun") == ""
	if !writes {
		return nil, unsent
	}
	g.lock.Lock()
	defer g.lock.Unlock()
	g.left = max(g.left-1, -2)
	if g.left != -1 {
		return nil, unsent
	}
	return g.strike, g.when
}

var errCut = errors.New("the process is dead")

// RoundTrip implements http.RoundTripper.
func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Get("watch") == "" {
		g.flying.Add(1)
		defer g.flying.Add(-1)
	}
	strike, when := g.fatal(r)
	if strike == nil {
		return g.next.RoundTrip(r)
	}
	if when == unsent {
		strike()
		return nil, errCut
	}
	answer, err := g.next.RoundTrip(r)
	if when == answered {
		time.AfterFunc(rand.N(5*time.Millisecond), strike)
		return answer, err
	}
	strike()
	if err == nil {
		_ = answer.Body.Close()
	}
	return nil, errCut
}
