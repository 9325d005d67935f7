package localcluster

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

func TestReleaseIsThatOfTheModule(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\s+k8s\.io/kubernetes (v\S+)`).FindSubmatch(text)
	if found == nil || string(found[1]) != release {
		t.Errorf("go.mod has %s, release is %s", found, release)
	}
}

func TestOptions(t *testing.T) {
	cases := map[string]struct {
		why  string
		in   Options
		fail string
	}{
		"Zero":             {why: "the zero value is the right default"},
		"EphemeralWithDir": {why: "it cannot both keep and not keep", in: Options{Ephemeral: true, Dir: "x"}, fail: "ephemeral"},
		"NegativeNodes":    {why: "a typing error", in: Options{Nodes: -1}, fail: "between 1 and"},
		"TooManyNodes":     {why: "memory is limited", in: Options{Nodes: maxNodes + 1}, fail: "between 1 and"},
		"Port":             {why: "a typing error", in: Options{Port: 70000}, fail: "port 70000"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_DATA_HOME", t.TempDir())
			got, err := c.in.complete()
			if c.fail != "" {
				if err == nil || !strings.Contains(err.Error(), c.fail) {
					t.Errorf("%s: %v; want an error with %q", c.why, err, c.fail)
				}
				return
			}
			if err != nil || got.Nodes != defaultNodes || !filepath.IsAbs(got.Dir) {
				t.Errorf("%s: %+v, %v", c.why, got, err)
			}
		})
	}
}

func TestDefaultDir(t *testing.T) {
	home := t.TempDir()
	cases := map[string]struct {
		why, xdg, want string
	}{
		"XDG":      {why: "the user has chosen", xdg: filepath.Join(home, "data"), want: filepath.Join(home, "data", "holdfast", "cluster")},
		"Relative": {why: "the specification says to ignore it", xdg: "data", want: ""},
		"None":     {why: "the specification's default", want: ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_DATA_HOME", c.xdg)
			t.Setenv("HOME", home)
			base, err := dataHome()
			if err != nil {
				t.Fatal(err)
			}
			want := c.want
			if want == "" {
				want = filepath.Join(base, "holdfast", "cluster")
			}
			if got, err := DefaultDir(); err != nil || got != want {
				t.Errorf("%s: %s, %v; want %s", c.why, got, err, want)
			}
		})
	}
}

func TestCredentialsAreKeptWhileGood(t *testing.T) {
	now := time.Now()
	cases := map[string]struct {
		why     string
		between func(t *testing.T, f folder)
		later   time.Duration
		changed []string
	}{
		"NextDay":   {why: "a kubeconfig that was copied goes on working", later: 24 * time.Hour},
		"NearEnd":   {why: "a certificate is renewed before its end", later: certificateFor - renewBefore, changed: []string{"admin", "apiserver", "front-proxy-client"}},
		"LastYears": {why: "an authority must outlive what it signs", later: authorityFor - authorityRenewal, changed: []string{"admin", "apiserver", "ca", "front-proxy-ca", "front-proxy-client"}},
		"KeyGone": {why: "a certificate is of no use without its key", changed: []string{"admin"}, between: func(t *testing.T, f folder) {
			remove(t, f.pem("admin.key"))
		}},
		"OtherKey": {why: "a write was cut short between the two files", changed: []string{"admin"}, between: func(t *testing.T, f folder) {
			copyFile(t, f.pem("apiserver.key"), f.pem("admin.key"))
		}},
		"AuthorityGone": {why: "what it signed is void", changed: []string{"admin", "apiserver", "ca"}, between: func(t *testing.T, f folder) {
			remove(t, f.pem("ca.crt"))
		}},
		"Garbage": {why: "whatever is in the file", changed: []string{"apiserver"}, between: func(t *testing.T, f folder) {
			if err := os.WriteFile(f.pem("apiserver.crt"), []byte("garbage"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := folder(t.TempDir())
			if err := ensureCredentials(f, now); err != nil {
				t.Fatal(err)
			}
			before := certificates(t, f)
			if c.between != nil {
				c.between(t, f)
			}
			if err := ensureCredentials(f, now.Add(c.later)); err != nil {
				t.Fatal(err)
			}
			after := certificates(t, f)
			var changed []string
			for _, name := range []string{"admin", "apiserver", "ca", "front-proxy-ca", "front-proxy-client"} {
				if before[name] != after[name] {
					changed = append(changed, name)
				}
			}
			if diff := cmp.Diff(c.changed, changed); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
			verifyChain(t, f, now.Add(c.later))
		})
	}
}

func certificates(t *testing.T, f folder) map[string]string {
	t.Helper()
	found, err := filepath.Glob(f.pem("*.crt"))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[strings.TrimSuffix(filepath.Base(path), ".crt")] = string(text)
	}
	return texts
}

func verifyChain(t *testing.T, f folder, now time.Time) {
	t.Helper()
	authority, err := readPair(f, "ca")
	if err != nil {
		t.Fatal(err)
	}
	server, err := readPair(f, "apiserver")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority.certificate)
	if _, err := server.certificate.Verify(x509.VerifyOptions{Roots: roots, DNSName: "127.0.0.1", CurrentTime: now}); err != nil {
		t.Errorf("the server's certificate: %v", err)
	}
	for _, path := range []string{f.pem("ca.key"), f.pem("admin.key"), f.pem("service-account.key")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

const otherKubeconfig = `apiVersion: v1
kind: Config
current-context: work
clusters:
- name: work
  cluster: {server: https://work.example}
contexts:
- name: work
  context: {cluster: work, user: me}
users:
- name: me
  user: {token: mine}
`

func TestKubeconfigIsMerged(t *testing.T) {
	f := folder(t.TempDir())
	if err := ensureCredentials(f, time.Now()); err != nil {
		t.Fatal(err)
	}
	own, err := writeKubeconfig(f, "https://127.0.0.1:1", "admin", f.kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("Missing", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "deep", "config")
		done, err := mergeKubeconfig(path, own)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file: %v, %v", info, err)
		}
		done.undo()
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file that we made is left: %v", err)
		}
	})
	t.Run("Link", func(t *testing.T) {
		path, link := filepath.Join(t.TempDir(), "real"), filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(path, []byte(otherKubeconfig), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		done, err := mergeKubeconfig(link, own)
		if err != nil {
			t.Fatal(err)
		}
		config, err := clientcmd.LoadFromFile(path)
		if err != nil || config.CurrentContext != ContextName || config.Contexts["work"] == nil {
			t.Errorf("the link's target was not written: %v, %v", config, err)
		}
		done.undo()
		config, err = clientcmd.LoadFromFile(path)
		if err != nil || config.CurrentContext != "work" || len(config.Contexts) != 1 {
			t.Errorf("not as before: %v, %v", config, err)
		}
	})
	t.Run("Garbage", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(path, []byte("{not a kubeconfig"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := mergeKubeconfig(path, own); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("merging into garbage: %v", err)
		}
		if text, _ := os.ReadFile(path); string(text) != "{not a kubeconfig" {
			t.Errorf("what we could not read was overwritten with %q", text)
		}
	})
	t.Run("TakenOver", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "config")
		done, err := mergeKubeconfig(path, own)
		if err != nil {
			t.Fatal(err)
		}
		other, err := writeKubeconfig(f, "https://127.0.0.1:2", "admin", f.kubeconfig())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mergeKubeconfig(path, other); err != nil {
			t.Fatal(err)
		}
		done.undo()
		config, err := clientcmd.LoadFromFile(path)
		if err != nil || config.Clusters[ContextName] == nil {
			t.Errorf("another cluster's context was taken away: %v, %v", config, err)
		}
	})
}

func TestPortIsKeptWhileFree(t *testing.T) {
	ctx, f := context.Background(), folder(t.TempDir())
	first, err := listen(ctx, f, 0)
	if err != nil {
		t.Fatal(err)
	}
	port := first.Addr().(*net.TCPAddr).Port
	_ = first.Close()
	second, err := listen(ctx, f, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	if got := second.Addr().(*net.TCPAddr).Port; got != port {
		t.Errorf("port %d, was %d", got, port)
	}
	third, err := listen(ctx, f, 0) // the port is taken now
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = third.Close() }()
	if third.Addr().(*net.TCPAddr).Port == port {
		t.Error("one port was opened twice")
	}
	if _, err := listen(ctx, f, port); err == nil {
		t.Error("a wanted port that is taken is no error")
	}
	if err := os.WriteFile(f.port(), []byte("99999999 nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if lastPort(f) != 0 {
		t.Errorf("a damaged port file is read as %d", lastPort(f))
	}
}

func TestLock(t *testing.T) {
	f := folder(t.TempDir())
	held, err := acquire(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	long, short := Holder{PID: 123456, Server: strings.Repeat("x", 100)}, Holder{PID: 1}
	for _, want := range []Holder{long, short} {
		if err := held.say(want); err != nil {
			t.Fatal(err)
		}
		got, running, err := Running(string(f))
		if err != nil || !running {
			t.Fatalf("running %v, %v", running, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	var refused *RunningError
	if _, err := acquire(context.Background(), f); !errors.As(err, &refused) || refused.PID != 1 {
		t.Errorf("a second lock: %v", err)
	}
	held.release()
	if _, running, err := Running(string(f)); running || err != nil {
		t.Errorf("after release: %v, %v", running, err)
	}
	if _, running, err := Running(filepath.Join(string(f), "none")); running || err != nil {
		t.Errorf("no folder: %v, %v", running, err)
	}
}

func TestSweepTakesOnlyWhatIsAbandoned(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	now := time.Now()
	for name, age := range map[string]time.Duration{"abandoned": time.Hour, "young": 0, "used": time.Hour} {
		dir := filepath.Join(temp, ephemeralPattern+name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if name == "used" {
			held, err := tryAcquire(folder(dir))
			if err != nil {
				t.Fatal(err)
			}
			defer held.release()
		}
		if err := os.Chtimes(dir, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	sweepEphemeral(now)
	left, err := filepath.Glob(filepath.Join(temp, "*"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(temp, ephemeralPattern+"used"), filepath.Join(temp, ephemeralPattern+"young")}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestSocketsHaveShortPaths(t *testing.T) {
	cases := map[string]struct {
		why, name string
		temporary bool
	}{
		"Short": {why: "what belongs to the data lies with it", name: "d"},
		"Long":  {why: "systems refuse longer paths of sockets", name: strings.Repeat("deep", 25), temporary: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			root, err := os.MkdirTemp("", "s")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = os.RemoveAll(root) }()
			f := folder(filepath.Join(root, c.name))
			dir, temporary, err := socketFolder(f)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = os.RemoveAll(dir) }()
			info, err := os.Stat(dir)
			if err != nil || info.Mode().Perm() != 0o700 || temporary != c.temporary || len(dir) > maxSocketPath {
				t.Errorf("%s: %s, temporary %v, %v, %v", c.why, dir, temporary, info, err)
			}
		})
	}
}

// A component that gives up ends the cluster with its last words, and this process goes on.
func TestFatalMessagesDoNotEndTheProcess(t *testing.T) {
	f := folder(t.TempDir())
	s := openSink(f, nil)
	defer s.close()
	heard := make(chan error, 1)
	captureKlog(s, func(err error) { heard <- err })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		klog.Fatalf("no port %d", 1)
		t.Error("the caller of a fatal message went on")
	}()
	<-ended
	if err := <-heard; !strings.HasSuffix(err.Error(), ": no port 1") {
		t.Errorf("heard %q", err)
	}
	text, err := os.ReadFile(f.log())
	if err != nil || !strings.Contains(string(text), "no port 1") {
		t.Errorf("the log has %q, %v", text, err)
	}
}

func TestMessage(t *testing.T) {
	cases := map[string]struct{ why, in, want string }{
		"Klog":  {why: "the header is for the log", in: "F0102 15:04:05.000001 1 hooks.go:203] PostStartHook failed: x\nmore", want: "PostStartHook failed: x"},
		"Plain": {why: "whatever it is, it is better than nothing", in: "Fatal", want: "Fatal"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := message([]byte(c.in)); got != c.want {
				t.Errorf("%s: %q", c.why, got)
			}
		})
	}
}
