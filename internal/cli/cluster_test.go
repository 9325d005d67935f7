package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runLine runs a command line to its end.
func runLine(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(context.Background(), Streams{In: strings.NewReader(""), Out: &out, Err: &errs}, args)
	return code, out.String(), errs.String()
}

// The stop command signals this very process, which then ends the cluster as the program would.
func TestClusterStartsShowsAndStops(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Kubernetes control plane, which -short leaves out")
	}
	data := filepath.Join(t.TempDir(), "my data")
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	var errs bytes.Buffer
	go func() {
		code := Main(ctx, Streams{In: strings.NewReader(""), Out: writer, Err: &errs}, []string{"cluster", "start", "--data", data, "--nodes", "1"})
		_ = writer.Close()
		ended <- code
	}()
	printed := readUntil(t, reader, "Press Ctrl-C to stop.\n")
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	kubeconfig := filepath.Join(data, "kubeconfig")
	if !strings.Contains(printed, "export KUBECONFIG='"+kubeconfig+"'\n") {
		t.Errorf("start printed %q; want the line that sets KUBECONFIG", printed)
	}
	if _, err := os.Stat(kubeconfig); err != nil {
		t.Error(err)
	}

	code, stdout, _ := runLine("cluster", "status", "--data", data)
	if code != 0 || !strings.Contains(stdout, "State:       ready") || !strings.Contains(stdout, kubeconfig) {
		t.Errorf("status: code %d, %q", code, stdout)
	}
	code, stdout, _ = runLine("cluster", "status", "--data", data, "-o", "json")
	var status clusterStatus
	if err := json.Unmarshal([]byte(stdout), &status); err != nil || code != 0 || !status.Running || status.PID != os.Getpid() {
		t.Errorf("status -o json: code %d, %q, %v", code, stdout, err)
	}
	code, stdout, stderr := runLine("cluster", "stop", "--data", data)
	if code != 0 || !strings.Contains(stdout, "has stopped") {
		t.Errorf("stop: code %d, %q, %q", code, stdout, stderr)
	}
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("start ended with code %d: %s", code, errs.String())
		}
	case <-time.After(time.Minute):
		t.Fatal("start did not end")
	}
	code, _, stderr = runLine("cluster", "status", "--data", data)
	if code != 1 || !strings.Contains(stderr, "no cluster runs") {
		t.Errorf("status afterwards: code %d, %q", code, stderr)
	}
	code, stdout, _ = runLine("cluster", "stop", "--data", data)
	if code != 0 || !strings.Contains(stdout, "No cluster runs") {
		t.Errorf("a second stop: code %d, %q", code, stdout)
	}
}

func readUntil(t *testing.T, reader io.Reader, end string) string {
	t.Helper()
	var text []byte
	part := make([]byte, 1024)
	for !bytes.HasSuffix(text, []byte(end)) {
		n, err := reader.Read(part)
		text = append(text, part[:n]...)
		if err != nil {
			t.Fatalf("it ended after %q: %v", text, err)
		}
	}
	return string(text)
}

func TestClusterFlagsThatContradict(t *testing.T) {
	cases := map[string]struct {
		why  string
		args []string
		want string
	}{
		"DataAndEphemeral": {why: "it cannot both keep and not keep", args: []string{"start", "--data", "x", "--ephemeral"}, want: "data ephemeral"},
		"TooManyNodes":     {why: "memory is limited", args: []string{"start", "--ephemeral", "--nodes", "100000"}, want: "simulated nodes"},
		"Argument":         {why: "the folder is a flag", args: []string{"start", "folder"}, want: "folder"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := runLine(append([]string{"cluster"}, c.args...)...)
			if code == 0 || !strings.Contains(stderr, c.want) {
				t.Errorf("%s: code %d, %q", c.why, code, stderr)
			}
		})
	}
}

func TestShellQuote(t *testing.T) {
	cases := map[string]struct{ why, in, want string }{
		"Plain": {why: "nothing to protect", in: "/home/me/.kube/config", want: "/home/me/.kube/config"},
		"Space": {why: "one word", in: "/my data", want: "'/my data'"},
		"Quote": {why: "the quote itself", in: "it's", want: `'it'\''s'`},
		"Empty": {why: "an empty word is a word", in: "", want: "''"},
		"Shell": {why: "nothing runs", in: "$(rm x)", want: "'$(rm x)'"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := shellQuote(c.in); got != c.want {
				t.Errorf("%s: %s; want %s", c.why, got, c.want)
			}
		})
	}
}
