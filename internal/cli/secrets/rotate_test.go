package secrets_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/cli/secrets"
	"holdfast.dev/holdfast/internal/secret/document"
	"holdfast.dev/holdfast/internal/secret/keyring"
	"holdfast.dev/holdfast/internal/secret/rules"
)

// childDir makes this test binary rotate a folder instead of running tests.
const childDir = "HOLDFAST_TEST_ROTATE"

func TestMain(m *testing.M) {
	dir, isChild := os.LookupEnv(childDir)
	if !isChild {
		os.Exit(m.Run())
	}
	if err := runTo(os.Stdout, "rotate", dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run runs one of the commands, without a cluster.
func run(args ...string) (string, error) {
	var out bytes.Buffer
	err := runTo(&out, args...)
	return out.String(), err
}

func runTo(out io.Writer, args ...string) error {
	nowhere := func() (*rest.Config, error) { return nil, errors.New("there is no cluster in this test") }
	command := secrets.New(secrets.Streams{In: strings.NewReader(""), Out: out, Err: out},
		secrets.Cluster{Reach: nowhere, Namespace: func() string { return "flux-system" }})
	command.SetArgs(args)
	command.SilenceErrors, command.SilenceUsage = true, true
	return command.ExecuteContext(context.Background())
}

type place struct {
	dir, keys  string
	recipients []string
}

// prepare makes a folder with encrypted files, whose rule then names another key. Both keys are at hand.
func prepare(t *testing.T, files int) place {
	t.Helper()
	p := place{dir: t.TempDir(), keys: t.TempDir()}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	var all []byte
	for range 2 {
		recipient, key, err := keyring.New(keyring.Making{})
		if err != nil {
			t.Fatal(err)
		}
		p.recipients, all = append(p.recipients, recipient), append(all, key.Reveal()...)
	}
	keyFile := filepath.Join(p.keys, "keys.txt")
	if err := os.WriteFile(keyFile, all, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOPS_AGE_KEY_FILE", keyFile)
	p.rule(t, p.recipients[0])
	for i := range files {
		name := filepath.Join(p.dir, fmt.Sprintf("%03d.yaml", i))
		if err := os.WriteFile(name, fmt.Appendf(nil, "# kept\nvalue: number %d\n", i), 0o640); err != nil {
			t.Fatal(err)
		}
		if out, err := run("encrypt", name); err != nil {
			t.Fatal(err, out)
		}
	}
	p.rule(t, p.recipients[1])
	return p
}

func (p place) rule(t *testing.T, recipient string) {
	t.Helper()
	content := "creation_rules:\n  - age: " + recipient + "\n"
	if err := os.WriteFile(filepath.Join(p.dir, rules.Name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// state reads all files, each of which must be whole, and counts those that the new key can read.
func (p place) state(t *testing.T, files int) (rotated int) {
	t.Helper()
	ring, err := keyring.Load(keyring.Options{Files: []string{filepath.Join(p.keys, "keys.txt")}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		name := filepath.Join(p.dir, fmt.Sprintf("%03d.yaml", i))
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := document.Read(name, content, nil)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, content)
		}
		opened, err := sealed.Open(t.Context(), ring, false)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		plain, err := opened.Plain()
		if want := fmt.Sprintf("# kept\nvalue: number %d\n", i); err != nil || string(plain) != want {
			t.Errorf("%s holds %q, want %q (%v)", name, plain, want, err)
		}
		if sealed.Recipients()[0].Name == p.recipients[1] {
			rotated++
		}
	}
	return rotated
}

// TestRotateIsInterrupted kills the program in the middle, each time after it has done some more files.
func TestRotateIsInterrupted(t *testing.T) {
	const files, rounds = 24, 6
	p := prepare(t, files)
	for round := range rounds {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), childDir+"="+p.dir)
		progress, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(progress)
		for done := 0; done <= round*3 && lines.Scan(); {
			if strings.HasSuffix(lines.Text(), ": rotated") {
				done++
			}
		}
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) // somewhere in the next file
		_ = child.Process.Kill()
		if err := child.Wait(); err == nil {
			t.Log("the program was faster than its end")
		}
		if rotated := p.state(t, files); rotated < round*3+1 {
			t.Errorf("%d files are rotated, though the program had told of %d", rotated, round*3+1)
		}
	}
	if out, err := run("rotate", p.dir); err != nil {
		t.Fatal(err, out)
	}
	if rotated := p.state(t, files); rotated != files {
		t.Errorf("%d of %d files are rotated in the end", rotated, files)
	}
	if left, err := filepath.Glob(filepath.Join(p.dir, ".*.holdfast")); err != nil || len(left) > 0 {
		t.Errorf("%v were left behind", left)
	}
}

func TestRotateKeepsModes(t *testing.T) {
	p := prepare(t, 1)
	if out, err := run("rotate", p.dir); err != nil {
		t.Fatal(err, out)
	}
	info, err := os.Stat(filepath.Join(p.dir, "000.yaml"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("got %v and %v, want the mode as it was", info.Mode(), err)
	}
	left, err := filepath.Glob(filepath.Join(p.dir, ".*.holdfast"))
	if err != nil || len(left) > 0 {
		t.Errorf("%v were left behind", left)
	}
}

// TestDryRun changes no byte, and tells what would be done.
func TestDryRun(t *testing.T) {
	p := prepare(t, 2)
	name := filepath.Join(p.dir, "000.yaml")
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	out, err := run("rotate", "--dry-run", p.dir)
	if err != nil || !strings.Contains(out, "would be rotated") || !strings.Contains(out, "+ "+p.recipients[1]) || !strings.Contains(out, "- "+p.recipients[0]) {
		t.Errorf("got %v\n%s", err, out)
	}
	after, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
}

// TestRemains: a file that cannot be opened stays, the others are done, and the end says so.
func TestRemains(t *testing.T) {
	p := prepare(t, 3)
	p.rule(t, p.recipients[0])
	stranger, _, err := keyring.New(keyring.Making{})
	if err != nil {
		t.Fatal(err)
	}
	rule := fmt.Sprintf("creation_rules:\n  - path_regex: ^001\n    age: %s\n  - age: %s\n", stranger, p.recipients[1])
	if err := os.WriteFile(filepath.Join(p.dir, rules.Name), []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run("rotate", filepath.Join(p.dir, "001.yaml")); err != nil {
		t.Fatal(err, out)
	}
	out, err := run("rotate", p.dir)
	if err == nil || !strings.Contains(err.Error(), "1 of 3 files remain") || !strings.Contains(out, stranger) {
		t.Errorf("got %v\n%s", err, out)
	}
}
