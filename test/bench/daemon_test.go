package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// daemon is the controller as a process of its own.
type daemon struct {
	command *exec.Cmd
	metrics string
	profile string // address of net/http/pprof
	log     string
}

// startDaemon builds and starts the controller, and ends it with the benchmark.
func startDaemon(b *testing.B, kubeconfig string) *daemon {
	b.Helper()
	dir := b.TempDir()
	program := filepath.Join(dir, "holdfast-controller")
	build := exec.Command("go", "build", "-o", program, "holdfast.dev/holdfast/cmd/holdfast-controller")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("building the controller: %v\n%s", err, out)
	}
	address := freeAddress(b)
	d := &daemon{metrics: "http://" + address + "/metrics", profile: freeAddress(b), log: filepath.Join(dir, "log")}
	log, err := os.Create(d.log)
	if err != nil {
		b.Fatal(err)
	}
	d.command = exec.Command(program, "--kubeconfig", kubeconfig, "--storage-path", filepath.Join(dir, "data"),
		"--storage-addr", "127.0.0.1:0", "--health-addr", "0", "--metrics-addr", address, "--pprof-addr", d.profile, "--install-crds", "--log-level", "error",
		"--bake", "2s") // so that releases are good before rest is measured
	d.command.Stderr = log
	if err := d.command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = d.command.Process.Signal(os.Interrupt)
		done := make(chan struct{})
		go func() { _ = d.command.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			_ = d.command.Process.Kill()
			b.Error("the controller did not stop within 20 s")
		}
		if said, _ := os.ReadFile(d.log); len(said) > 0 {
			b.Logf("the controller said:\n%.4000s", said)
		}
	})
	waitFor(b, time.Minute, "the controller's metrics", func() bool {
		response, err := http.Get(d.metrics)
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return d
}

func freeAddress(b *testing.B) string {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// keepProfile writes a profile of what the controller does in the next seconds to a file.
func (d *daemon) keepProfile(b *testing.B, file string, seconds int) {
	b.Helper()
	response, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", d.profile, seconds))
	if err != nil {
		b.Error(err)
		return
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err == nil {
		err = os.WriteFile(file, raw, 0o600)
	}
	if err != nil {
		b.Error(err)
	}
}

// usage is what the controller has used since it started.
type usage struct {
	requests float64 // to the API server; opening a watch counts as one
	seconds  float64 // processor time
	peak     float64 // megabytes resident, at the most
	own      float64 // megabytes of memory of its own at the moment, without the program's file
}

func (d *daemon) usage(b *testing.B) usage {
	b.Helper()
	var u usage
	response, err := http.Get(d.metrics)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "rest_client_requests_total{") {
			u.requests += number(line)
		}
	}
	proc := fmt.Sprintf("/proc/%d/", d.command.Process.Pid)
	if stat, err := os.ReadFile(proc + "stat"); err == nil {
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))
		user, _ := strconv.ParseFloat(fields[11], 64)
		system, _ := strconv.ParseFloat(fields[12], 64)
		u.seconds = (user + system) / 100
	}
	if status, err := os.ReadFile(proc + "status"); err == nil {
		for line := range strings.Lines(string(status)) {
			if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
				u.peak = megabytes(rest)
			}
			if rest, found := strings.CutPrefix(line, "RssAnon:"); found {
				u.own = megabytes(rest)
			}
		}
	}
	return u
}

// megabytes reads a line of /proc/PID/status, which counts kilobytes.
func megabytes(text string) float64 {
	kilobytes, _ := strconv.ParseFloat(strings.Fields(text)[0], 64)
	return kilobytes / 1024
}

func number(line string) float64 {
	value, _ := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
	return value
}

// since returns what was used after an earlier reading; the peak stays the peak.
func (u usage) since(before usage) usage {
	return usage{requests: u.requests - before.requests, seconds: u.seconds - before.seconds, peak: u.peak, own: u.own}
}

// waitFor waits for something that gives no event.
func waitFor(b *testing.B, limit time.Duration, what string, done func() bool) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			b.Fatalf("waiting for %s: not within %s", what, limit)
		case <-tick.C:
		}
	}
	runtime.KeepAlive(ctx)
}
