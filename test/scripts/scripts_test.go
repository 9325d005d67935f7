// Package scripts holds the behaviour of the command line as pages of text: each testdata/*.txtar
// runs the program against a real API server, in a namespace of its own ($NS).
//
// Beside the commands of testscript there are:
//
//	holdfast ARGS...       the program
//	exec-code N ARGS...    exec, with the exit code that is expected
//	apply FILE...          create the objects of YAML files ($NS is expanded), status included
//	answer KIND NAME FILE  act as the controller of one resource until the script ends: answer each
//	                       request and each new generation with the status in FILE
//	hook FILE              start a web service that quotes what it is asked, and put its address for
//	                       $HOOK in a file
//	steady FILE            replace what differs from run to run (ages) in a file
//
// After a wanted change of output: go test ./test/scripts -update
package scripts_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"holdfast.dev/holdfast/internal/cli"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
)

var update = flag.Bool("update", false, "write the output that there is into the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"holdfast": func() {
			std := cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
			os.Exit(cli.Main(context.Background(), std, os.Args[1:]))
		},
	})
}

// TestCluster runs the scripts that need a cluster.
func TestCluster(t *testing.T) {
	cluster := connect(t)
	kubeconfig := clustertest.Kubeconfig(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/cluster",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Cmds:                cluster.commands(),
		Setup: func(env *testscript.Env) error {
			isolate(env)
			path := filepath.Join(env.WorkDir, ".kubeconfig")
			if err := os.WriteFile(path, kubeconfig, 0o600); err != nil {
				return err
			}
			env.Setenv("KUBECONFIG", path)
			name := strings.TrimSuffix(filepath.Base(env.WorkDir), ".txtar")
			name = strings.TrimPrefix(name, "script-")
			env.Setenv("NS", name)
			return cluster.namespace(env, name)
		},
	})
}

// TestLocal runs the scripts that need none.
func TestLocal(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/local",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Cmds:                map[string]command{"exec-code": execCode},
		Setup: func(env *testscript.Env) error {
			isolate(env)
			return nil
		},
	})
}

// execCode runs a program like exec, and checks its exit code.
func execCode(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exec-code N PROGRAM ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	}
	if want := args[0]; strconv.Itoa(code) != want {
		ts.Fatalf("exit code %d (%v), want %s", code, err, want)
	}
}

// isolate keeps the person's own clusters and settings out of the scripts.
func isolate(env *testscript.Env) {
	env.Setenv("HOME", filepath.Join(env.WorkDir, ".home"))
	env.Setenv("XDG_DATA_HOME", filepath.Join(env.WorkDir, ".data"))
	env.Setenv("KUBECONFIG", "")
}
