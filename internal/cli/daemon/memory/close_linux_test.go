package memory_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast.dev/holdfast/internal/cli/daemon/memory"
	"holdfast.dev/holdfast/internal/model/sealed"
	"holdfast.dev/holdfast/internal/stage/decrypt"
	"holdfast.dev/holdfast/internal/stage/decrypt/sopstest"
)

const (
	asked  = "HOLDFAST_TEST_DIES" // "open" or "closed": this process is the child
	canary = "canary-of-a-dump-91c4"
)

func TestMain(m *testing.M) {
	if how := os.Getenv(asked); how != "" {
		if err := die(how == "closed"); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// die decrypts a file, as the daemon does, and dies with the value in memory.
func die(closed bool) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return err
	}
	if closed {
		if err := memory.Close(); err != nil {
			return err
		}
	}
	key, err := os.ReadFile("key")
	if err != nil {
		return err
	}
	file, err := os.ReadFile("a.env")
	if err != nil {
		return err
	}
	ring, err := decrypt.NewKeyring(decrypt.Keys{Origin: "the key", Data: map[string][]byte{"a.agekey": key}}, decrypt.Options{})
	if err != nil {
		return err
	}
	plain, err := ring.Open(context.Background(), sealed.Box{Path: "a.env", Data: file, In: sealed.Dotenv, Out: sealed.Dotenv})
	if err != nil {
		return err
	}
	if !bytes.Contains(plain.Data.Reveal(), []byte(canary)) {
		return fmt.Errorf("it was not decrypted")
	}
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		return err
	}
	fmt.Printf("opened, dumpable %d", dumpable)
	panic("dies with " + fmt.Sprint(plain))
}

// TestNoCore: a daemon that dies leaves no core and no value, on the disk or in what it says last.
func TestNoCore(t *testing.T) {
	key := sopstest.Age(t)
	file := sopstest.Encrypt(t, sopstest.File{Format: sealed.Dotenv, Plain: "token=" + canary + "\n", For: []sopstest.Key{key}})
	for _, how := range []string{"closed", "open"} {
		dir := t.TempDir()
		for name, text := range map[string]string{"key": key.Private, "a.env": file} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		child := exec.Command(os.Args[0])
		child.Dir, child.Env = dir, append(os.Environ(), asked+"="+how, "GOTRACEBACK=crash")
		said, err := child.CombinedOutput()
		status, _ := child.ProcessState.Sys().(syscall.WaitStatus)
		if err == nil || !status.Signaled() || !bytes.Contains(said, []byte("opened")) {
			t.Fatalf("%s: it did not die as it should: %v\n%s", how, err, said)
		}
		if bytes.Contains(said, []byte(canary)) {
			t.Errorf("%s: what it says last shows the value", how)
		}
		if how == "open" { // otherwise this test would prove nothing
			t.Logf("without being closed, a core was dumped: %t", status.CoreDump())
			continue
		}
		if !bytes.Contains(said, []byte("dumpable 0")) || status.CoreDump() {
			t.Errorf("a core was dumped: %s", said[:min(len(said), 40)])
		}
		holds(t, dir)
	}
}

// holds looks for the value in all files that are left.
func holds(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		held, err := os.ReadFile(path)
		if bytes.Contains(held, []byte(canary)) {
			t.Errorf("%s holds the value", entry.Name())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
