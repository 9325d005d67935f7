package scripts_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast.dev/holdfast/internal/cli"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
)

const unit = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: NAME}
spec: {interval: 1m, prune: true, sourceRef: {kind: GitRepository, name: platform}}
`

const happened = `
apiVersion: v1
kind: Event
metadata: {name: NAME.1}
involvedObject: {apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, name: NAME, namespace: $NS}
type: Normal
reason: Progressing
message: NAME goes on
`

// TestWatch checks that --watch shows what is there, and then what comes, until it is ended, which is
// no error.
func TestWatch(t *testing.T) {
	cluster := connect(t)
	cases := map[string]struct {
		why    string
		object string
		args   []string
	}{
		"Get":        {"the table goes on", unit, []string{"get", "units", "--watch"}},
		"GetJSON":    {"scripts get one object after the other", unit, []string{"get", "units", "--watch", "-o", "json"}},
		"Events":     {"events go on", happened, []string{"events", "--watch"}},
		"EventsYAML": {"scripts get one event after the other", happened, []string{"events", "--watch", "-o", "yaml"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			namespace := clustertest.Namespace(t)
			kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
			if err := os.WriteFile(kubeconfig, clustertest.Kubeconfig(t), 0o600); err != nil {
				t.Fatal(err)
			}
			create := func(name string) {
				if err := cluster.apply(namespace, strings.ReplaceAll(c.object, "NAME", name)); err != nil {
					t.Fatal(err)
				}
			}
			create("before")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, in := io.Pipe()
			code := make(chan int, 1)
			go func() {
				std := cli.Streams{In: strings.NewReader(""), Out: in, Err: io.Discard}
				code <- cli.Main(ctx, std, append(c.args, "-n", namespace, "--kubeconfig", kubeconfig))
				_ = in.Close()
			}()
			lines := bufio.NewScanner(out)
			await(t, lines, "before")
			create("after")
			await(t, lines, "after")
			cancel()
			_, _ = io.Copy(io.Discard, out)
			if got := <-code; got != 0 || !timely(ctx) {
				t.Errorf("%s: exit code %d", c.why, got)
			}
		})
	}
}

// timely tells that it was the test that ended ctx, not its deadline.
func timely(ctx context.Context) bool { return errors.Is(context.Cause(ctx), context.Canceled) }

func await(t *testing.T, lines *bufio.Scanner, text string) {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return
		}
	}
	t.Fatalf("the output ended before %q was there", text)
}
