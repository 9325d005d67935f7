package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// patience is how long anything may take on a loaded machine. What is promised is much less, and
// measured in test/bench.
const patience = 3 * time.Minute

// TestDemo is a newcomer's first five minutes.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the whole program and runs a cluster, which -short leaves out")
	}
	up := startDemo(t)
	up.waitFor("all 5 units ready")
	client := up.client()
	ctx := t.Context()

	app := filepath.Join("clusters", "local", "apps", "hello", "settings.yaml")
	up.write(app, settings("one"))
	up.commit("Add an app")
	await(t, "the new app's ConfigMap", func() bool { return valueOf(ctx, client) == "one" })

	up.write(app, settings("two"))
	up.commit("Change it")
	await(t, "the changed value", func() bool { return valueOf(ctx, client) == "two" })

	patch := []byte(`{"data":{"value":"by hand"}}`)
	if _, err := client.CoreV1().ConfigMaps("playground").Patch(ctx, "hello", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the manual change to be undone", func() bool { return valueOf(ctx, client) == "two" })

	before, err := client.AppsV1().Deployments("whoami").Get(ctx, "whoami", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.AppsV1().Deployments("whoami").Delete(ctx, "whoami", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the deleted Deployment to come back", func() bool {
		now, err := client.AppsV1().Deployments("whoami").Get(ctx, "whoami", metav1.GetOptions{})
		return err == nil && now.UID != before.UID
	})

	up.git("rm", "-rq", filepath.Dir(app))
	up.commit("Remove it")
	await(t, "the removed app to be pruned", func() bool {
		_, err := client.CoreV1().ConfigMaps("playground").Get(ctx, "hello", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	up.breakAndRevert(client)
	up.checkSecrets(client)
	up.stop()

	up.start()
	up.waitFor("all 5 units ready")
	up.stop()
}

func settings(value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hello\n  namespace: playground\ndata:\n  value: %s\n", value)
}

func valueOf(ctx context.Context, client kubernetes.Interface) string {
	live, err := client.CoreV1().ConfigMaps("playground").Get(ctx, "hello", metav1.GetOptions{})
	if err != nil {
		return ""
	}
	return live.Data["value"]
}

// await asks the API server again and again, as a person would.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s: not within %s", what, patience)
		}
		<-tick.C
	}
}

// demo is `holdfast up --demo` as a process.
type demo struct {
	t       *testing.T
	binary  string
	home    string
	dir     string
	command *exec.Cmd
	lock    sync.Mutex
	said    []string
	news    chan struct{}
	ended   chan error
}

func startDemo(t *testing.T) *demo {
	t.Helper()
	home := t.TempDir()
	d := &demo{t: t, binary: program(t), home: home, dir: filepath.Join(home, "platform")}
	t.Cleanup(func() {
		_ = d.command.Process.Kill()
		if t.Failed() {
			t.Logf("the program said:\n%s", d.text())
		}
	})
	d.start()
	return d
}

// start starts the program, for the first time or again.
func (d *demo) start() {
	d.t.Helper()
	d.news, d.ended, d.said = make(chan struct{}, 1), make(chan error, 1), nil
	d.command = d.holdfast("up", "--demo", d.dir)
	out, err := d.command.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	d.command.Stderr = d.command.Stdout
	if err := d.command.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			d.lock.Lock()
			d.said = append(d.said, lines.Text())
			d.lock.Unlock()
			select {
			case d.news <- struct{}{}:
			default:
			}
		}
		d.ended <- d.command.Wait()
	}()
}

// holdfast is the program with some arguments, as the person of the demo runs it.
func (d *demo) holdfast(args ...string) *exec.Cmd {
	command := exec.Command(d.binary, args...)
	command.Dir = d.home
	command.Env = append(os.Environ(), "HOME="+d.home, "KUBECONFIG=",
		"XDG_DATA_HOME="+filepath.Join(d.home, "data"), "XDG_CONFIG_HOME="+filepath.Join(d.home, "config"))
	return command
}

// program builds the binary; Go's cache makes that cheap after the first time.
func program(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "holdfast")
	if out, err := exec.Command("go", "build", "-o", name, "holdfast.dev/holdfast/cmd/holdfast").CombinedOutput(); err != nil {
		t.Fatalf("building holdfast: %v\n%s", err, out)
	}
	return name
}

func (d *demo) text() string {
	d.lock.Lock()
	defer d.lock.Unlock()
	return strings.Join(d.said, "\n")
}

func (d *demo) waitFor(text string) {
	d.t.Helper()
	deadline := time.After(patience)
	for !strings.Contains(d.text(), text) {
		select {
		case <-d.news:
		case err := <-d.ended:
			d.t.Fatalf("the program ended with %v before it said %q", err, text)
		case <-deadline:
			d.t.Fatalf("the program did not say %q within %s", text, patience)
		}
	}
}

// client uses the kubeconfig that the program printed, as kubectl would.
func (d *demo) client() kubernetes.Interface {
	d.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", d.kubeconfig())
	if err != nil {
		d.t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		d.t.Fatal(err)
	}
	namespaces, err := client.CoreV1().Namespaces().List(d.t.Context(), metav1.ListOptions{})
	if err != nil || !has(namespaces.Items, "whoami") {
		d.t.Fatalf("the printed kubeconfig does not lead to the platform: %v", err)
	}
	return client
}

// kubeconfig is the file that the program printed.
func (d *demo) kubeconfig() string {
	d.t.Helper()
	d.waitFor("export KUBECONFIG=")
	_, rest, _ := strings.Cut(d.text(), "export KUBECONFIG=")
	file, _, _ := strings.Cut(rest, "\n")
	return file
}

func has(namespaces []corev1.Namespace, name string) bool {
	for _, one := range namespaces {
		if one.Name == name {
			return true
		}
	}
	return false
}

func (d *demo) write(name, content string) {
	d.t.Helper()
	file := filepath.Join(d.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *demo) git(args ...string) string {
	d.t.Helper()
	command := exec.Command("git", args...)
	command.Dir = d.dir
	command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@localhost", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@localhost")
	out, err := command.CombinedOutput()
	if err != nil {
		d.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// shell runs a command line as a person pastes it, in the demo's folder.
func (d *demo) shell(line string) {
	d.t.Helper()
	command := exec.Command("sh", "-c", line)
	command.Dir = d.dir
	if out, err := command.CombinedOutput(); err != nil {
		d.t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

func (d *demo) commit(message string) {
	d.t.Helper()
	d.git("add", "-A")
	d.git("commit", "-q", "-m", message)
}

// stop presses Ctrl-C, and expects a clean end.
func (d *demo) stop() {
	d.t.Helper()
	if err := d.command.Process.Signal(syscall.SIGINT); err != nil {
		d.t.Fatal(err)
	}
	select {
	case err := <-d.ended:
		if err != nil {
			d.t.Errorf("after Ctrl-C the program ended with %v", err)
		}
	case <-time.After(patience):
		d.t.Errorf("the program did not end after Ctrl-C")
	}
}
