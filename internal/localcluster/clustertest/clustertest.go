package clustertest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	program      = "holdfast.dev/holdfast/internal/localcluster/clustertest/cluster-for-tests"
	startTimeout = 3 * time.Minute
)

// shared starts the cluster of this process once. It lives as long as the process.
var shared = sync.OnceValues(launch)

// running is the cluster of this process. Nothing of it may be collected: the child ends when the
// write end of its standard input closes.
type running struct {
	kubeconfig []byte
	stdin      io.WriteCloser
	process    *exec.Cmd
}

// Start returns an administrator's configuration for the cluster that all tests of this process
// share, and starts it for the first of them. It skips the test under -short.
func Start(t testing.TB) *rest.Config {
	t.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig(Kubeconfig(t))
	if err != nil {
		t.Fatalf("reading the kubeconfig of the test cluster: %v", err)
	}
	config.QPS = -1
	return config
}

// Kubeconfig is Start for those who want the text of the kubeconfig.
func Kubeconfig(t testing.TB) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a Kubernetes control plane, which -short leaves out")
	}
	cluster, err := shared()
	if err != nil {
		t.Fatalf("starting the test cluster: %v", err)
	}
	return append([]byte(nil), cluster.kubeconfig...)
}

// Namespace makes a namespace for this test alone, in which Pods can be created, and deletes it at
// the test's end without waiting for its contents to go.
func Namespace(t testing.TB) string {
	t.Helper()
	client, err := kubernetes.NewForConfig(Start(t))
	if err != nil {
		t.Fatalf("connecting to the test cluster: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	made, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: prefix(t.Name())},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating a namespace: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err := client.CoreV1().Namespaces().Delete(ctx, made.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("deleting namespace %s: %v", made.Name, err)
		}
	})
	waitForServiceAccount(ctx, t, client, made.Name)
	return made.Name
}

// waitForServiceAccount returns when Pods can be created in the namespace.
func waitForServiceAccount(ctx context.Context, t testing.TB, client kubernetes.Interface, namespace string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for the service account of namespace %s: %v", namespace, err)
		case <-tick.C:
		}
	}
}

// prefix turns a test's name into the beginning of a namespace's name.
func prefix(name string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		default:
			return '-'
		}
	}, name)
	if len(clean) > 40 {
		clean = clean[:40]
	}
	return strings.Trim(clean, "-") + "-"
}

// launch builds the program where needed and starts it.
func launch() (*running, error) {
	binary, err := build(program)
	if err != nil {
		return nil, err
	}
	output, err := os.CreateTemp("", "holdfast-cluster-for-tests-*.log")
	if err != nil {
		return nil, err
	}
	// An open file needs no name: nothing is left to clean up. (Windows refuses; its temporary folder keeps it.)
	_ = os.Remove(output.Name())
	child := exec.Command(binary)
	child.Stderr = output // a file of its own: `go test` would wait for the child if it shared ours
	stdin, err := child.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, err
	}
	kubeconfig, err := await(stdout)
	if err != nil {
		_ = stdin.Close()
		_ = child.Wait()
		return nil, fmt.Errorf("%w\n%s", err, tail(output))
	}
	return &running{kubeconfig: kubeconfig, stdin: stdin, process: child}, nil
}

// await reads the line that tells that the cluster is ready.
func await(stdout io.Reader) ([]byte, error) {
	type result struct {
		Kubeconfig string `json:"kubeconfig"`
		err        error
	}
	line := make(chan result, 1)
	go func() {
		var r result
		r.err = json.NewDecoder(stdout).Decode(&r)
		line <- r
	}()
	select {
	case r := <-line:
		if r.err != nil {
			return nil, fmt.Errorf("it did not become ready: %w", r.err)
		}
		return []byte(r.Kubeconfig), nil
	case <-time.After(startTimeout):
		return nil, fmt.Errorf("it did not become ready within %s", startTimeout)
	}
}

// Program builds a program of this module and returns its path. It is kept from run to run, as linking is
// what costs.
func Program(t testing.TB, name string) string {
	t.Helper()
	built, err := build(name)
	if err != nil {
		t.Fatalf("building %s: %v", name, err)
	}
	return built
}

// build returns the path of a program. The Go command knows whether it is up to date; the lock lets
// packages that are tested at the same time build it once.
func build(name string) (string, error) {
	root, err := goCommand("env", "GOMOD")
	if err != nil {
		return "", err
	}
	if root == "" || root == os.DevNull {
		return "", errors.New("the tests do not run inside the module")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "holdfast-test")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	built := filepath.Join(dir, path.Base(name)+"-"+checkout(filepath.Dir(root)))
	unlock, err := lockedfile.MutexAt(built + ".lock").Lock()
	if err != nil {
		return "", fmt.Errorf("waiting for the build: %w", err)
	}
	defer unlock()
	if _, err := goCommand("build", "-o", built, name); err != nil {
		return "", err
	}
	return built, nil
}

// checkout names the program of one copy of the sources, so that copies do not rebuild each other's.
func checkout(root string) string {
	sum := sha256.Sum256([]byte(root))
	return hex.EncodeToString(sum[:6])
}

func goCommand(args ...string) (string, error) {
	out, err := exec.Command("go", args...).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return "", fmt.Errorf("running go %s: %w\n%s", args[0], err, failed.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("running go %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// tail returns the end of what the child wrote.
func tail(file *os.File) []byte {
	const most = 8 << 10
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	from := max(0, info.Size()-most)
	text, _ := io.ReadAll(io.NewSectionReader(file, from, most))
	return text
}
