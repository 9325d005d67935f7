package localcluster_test

import (
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"holdfast.dev/holdfast/internal/localcluster"
)

// runHere makes this test binary run a cluster on the folder in it, as a process of its own.
const runHere = "HOLDFAST_TEST_RUN_CLUSTER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(runHere); dir != "" {
		os.Exit(runCluster(dir))
	}
	os.Exit(m.Run())
}

func runCluster(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cluster, err := localcluster.Start(ctx, localcluster.Options{Dir: dir, Nodes: 1})
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	_, _ = os.Stdout.WriteString("ready\n")
	if err := cluster.Wait(); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return 0
}

// startProcess runs a cluster on dir in another process and returns when it is ready.
func startProcess(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), runHere+"="+dir)
	var stderr strings.Builder
	child.Stderr = &stderr
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill() })
	word := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(stdout, word); err != nil {
		_ = child.Wait()
		t.Fatalf("the other process did not get ready: %v\n%s", err, stderr.String())
	}
	return child
}

func start(t *testing.T, ctx context.Context, options localcluster.Options) *localcluster.Cluster { //nolint:revive // t first, as in all test helpers
	t.Helper()
	began := time.Now()
	cluster, err := localcluster.Start(ctx, options)
	if err != nil {
		t.Fatalf("starting: %v", err)
	}
	t.Logf("ready after %s", time.Since(began).Round(time.Millisecond))
	t.Cleanup(func() { stop(t, cluster) })
	return cluster
}

func stop(t *testing.T, cluster *localcluster.Cluster) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := cluster.Stop(ctx); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the stop took %s", took)
	}
}

func clientOf(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// The data folder outlives a killed process and a stop, and belongs to one process at a time.
func TestDataFolder(t *testing.T) {
	needsCluster(t)
	dir := filepath.Join(t.TempDir(), "data")
	ctx := context.Background()

	child := startProcess(t, dir)
	holder, running, err := localcluster.Running(dir)
	if err != nil || !running || holder.PID != child.Process.Pid || !holder.Ready {
		t.Fatalf("Running = %+v, %v, %v; want process %d, ready", holder, running, err, child.Process.Pid)
	}
	assertRefused(t, dir, child.Process.Pid)
	config, err := clientcmd.BuildConfigFromFlags("", holder.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	createConfigMap(t, clientOf(t, config), "before-the-crash")
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()

	ctxOfCluster, cancel := context.WithCancel(ctx)
	cluster := start(t, ctxOfCluster, localcluster.Options{Dir: dir, Nodes: 1})
	if cluster.Server() != holder.Server {
		t.Errorf("after the crash the server is at %s, was at %s", cluster.Server(), holder.Server)
	}
	// The kubeconfig from before the crash still opens the cluster.
	assertConfigMap(t, clientOf(t, config), "before-the-crash")
	assertPrivate(t, cluster.KubeconfigPath())
	assertLoopback(t, cluster.Server())
	createConfigMap(t, clientOf(t, cluster.Config()), "before-the-stop")
	if _, err := localcluster.Start(ctx, localcluster.Options{Ephemeral: true}); err == nil {
		t.Error("a second cluster started in one process")
	}
	watch, err := clientOf(t, config).CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	cancel() // with a watch open
	if err := cluster.Wait(); err != nil {
		t.Errorf("the end of the context is an error: %v", err)
	}
	if _, running, err := localcluster.Running(dir); running || err != nil {
		t.Errorf("after the stop: running %v, %v", running, err)
	}
	if info, err := os.Stat(cluster.LogPath()); err != nil || info.Size() == 0 {
		t.Errorf("the log: %v", err)
	}

	child = startProcess(t, dir)
	assertConfigMap(t, clientOf(t, config), "before-the-stop")
	assertTerminates(t, dir, child)
}

func assertRefused(t *testing.T, dir string, pid int) {
	t.Helper()
	_, err := localcluster.Start(context.Background(), localcluster.Options{Dir: dir})
	var refused *localcluster.RunningError
	if !errors.As(err, &refused) {
		t.Fatalf("a second start on the same folder: %v; want it refused", err)
	}
	if refused.PID != pid || refused.Dir != dir || strings.Contains(err.Error(), "\n") {
		t.Errorf("refused with %q; want one line that names process %d and %s", err, pid, dir)
	}
}

func assertTerminates(t *testing.T, dir string, child *exec.Cmd) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ran, err := localcluster.Terminate(ctx, dir)
	if err != nil || !ran {
		t.Fatalf("Terminate = %v, %v", ran, err)
	}
	if err := child.Wait(); err != nil {
		t.Errorf("asked to stop, the process ended with %v", err)
	}
	if ran, err := localcluster.Terminate(ctx, dir); ran || err != nil {
		t.Errorf("Terminate of a stopped cluster = %v, %v", ran, err)
	}
}

func createConfigMap(t *testing.T, client kubernetes.Interface, name string) {
	t.Helper()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := client.CoreV1().ConfigMaps("default").Create(context.Background(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func assertConfigMap(t *testing.T, client kubernetes.Interface, name string) {
	t.Helper()
	if _, err := client.CoreV1().ConfigMaps("default").Get(context.Background(), name, metav1.GetOptions{}); err != nil {
		t.Errorf("data is lost: %v", err)
	}
}

func assertPrivate(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("%s has mode %o", path, mode)
	}
}

func assertLoopback(t *testing.T, server string) {
	t.Helper()
	at, err := url.Parse(server)
	if err != nil || at.Hostname() != "127.0.0.1" || at.Scheme != "https" {
		t.Errorf("the server is at %s", server)
	}
}

// An ephemeral cluster leaves nothing: no data, and other contexts of the kubeconfig as they were.
func TestEphemeral(t *testing.T) {
	needsCluster(t)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	kubeconfig := filepath.Join(t.TempDir(), "config")
	before := "apiVersion: v1\nkind: Config\ncurrent-context: work\nclusters:\n- name: work\n  cluster: {server: https://work.example}\n" +
		"contexts:\n- name: work\n  context: {cluster: work, user: me}\nusers:\n- name: me\n  user: {token: mine}\n"
	if err := os.WriteFile(kubeconfig, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	var stages []string
	cluster := start(t, context.Background(), localcluster.Options{
		Ephemeral: true, KubeconfigPath: kubeconfig, Nodes: 2, Progress: func(stage string) { stages = append(stages, stage) },
	})
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if config.CurrentContext != localcluster.ContextName || config.Contexts["work"] == nil {
		t.Errorf("the kubeconfig has current context %q and context work: %v", config.CurrentContext, config.Contexts["work"] != nil)
	}
	own, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := clientOf(t, own).CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) != 2 {
		t.Errorf("%d nodes, %v; want 2", len(nodes.Items), err)
	}
	stop(t, cluster)
	if want := "credentials,etcd,API server,controllers,ready"; strings.Join(stages, ",") != want {
		t.Errorf("stages %v; want %s", stages, want)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	config, err = clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if config.CurrentContext != "work" || len(config.Contexts) != 1 || len(config.Clusters) != 1 || len(config.AuthInfos) != 1 {
		t.Errorf("the kubeconfig is not as before: %+v", config)
	}
}

// A start may be called off at any moment. The process must survive it, and the folder be free again.
func TestCancelledStart(t *testing.T) {
	needsCluster(t)
	dir := t.TempDir()
	for _, at := range []struct {
		stage string
		after time.Duration
		why   string
	}{
		{localcluster.StageCredentials, 0, "nothing runs yet"},
		{localcluster.StageStore, 0, "etcd is being opened"},
		{localcluster.StageAPIServer, 0, "the API server is being configured"},
		{localcluster.StageAPIServer, 500 * time.Millisecond, "it builds its handlers"},
		{localcluster.StageAPIServer, 1200 * time.Millisecond, "its start hooks run, which kill the process when they fail"},
		{localcluster.StageControllers, 0, "the controllers are being configured"},
	} {
		t.Run(at.stage+" "+at.after.String(), func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			cluster, err := localcluster.Start(ctx, localcluster.Options{Dir: dir, Progress: func(stage string) {
				if stage == at.stage {
					time.AfterFunc(at.after, cancel)
				}
			}})
			if err == nil { // it was quicker
				<-cluster.Done()
			} else if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v; want it cancelled", at.why, err)
			}
			if _, running, err := localcluster.Running(dir); running || err != nil {
				t.Errorf("afterwards: running %v, %v", running, err)
			}
		})
	}
	cluster := start(t, context.Background(), localcluster.Options{Dir: dir})
	createConfigMap(t, clientOf(t, cluster.Config()), "works-all-the-same")
}

// Damaged data is an error that says where it is, not a panic.
func TestDamagedData(t *testing.T) {
	needsCluster(t)
	dir := t.TempDir()
	snap := filepath.Join(dir, "etcd", "member", "snap")
	if err := os.MkdirAll(snap, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "etcd", "member", "wal"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(snap, "db"), []byte(strings.Repeat("nonsense", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := localcluster.Start(context.Background(), localcluster.Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("starting on damaged data: %v; want an error that names %s", err, dir)
	}
	if _, running, err := localcluster.Running(dir); running || err != nil {
		t.Errorf("afterwards: running %v, %v", running, err)
	}
}

func needsCluster(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts Kubernetes control planes, which -short leaves out")
	}
}
