package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/database"
)

// recorded makes a store with three records in a folder, as a controller keeps it, and returns the
// folder and the verifier key.
func recorded(t *testing.T) (dir, key string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	db, err := database.Open(database.File(filepath.Join(dir, "controller", "record.db")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	signing, err := audit.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	log := audit.New(db, audit.Options{Key: audit.KeyFunc(func(context.Context) (audit.SigningKey, error) { return signing, nil })})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- log.Run(ctx) }()
	for i, kind := range []record.Kind{record.RevisionSeen, record.ReleaseBegun, record.ReleaseGood} {
		err := log.Record(t.Context(), record.Entry{
			At: time.Date(2026, 9, 1, 12, i, 0, 0, time.UTC), Kind: kind, Message: "what happened",
			Subject: record.Subject{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"},
			Actor:   record.Actor{Type: record.Author, Name: "Ada <ada@example.com>"},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return dir, signing.Verifier
}

func holdfast(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Main(t.Context(), Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr}, args)
	return code, stdout.String(), stderr.String()
}

func TestAuditCommands(t *testing.T) {
	dir, key := recorded(t)
	cases := map[string]struct {
		why  string
		args string
		code int
		out  []string // that the output contains
		errs string
	}{
		"List":       {why: "records line up", args: "list", out: []string{"N   TIME", "1   2026-09-01T", "ReleaseGood", "Kustomization/flux-system/apps", "Ada <ada@example.com>"}},
		"Kind":       {why: "filters choose", args: "list --kind ReleaseGood -o json", out: []string{`"number": 3`, `"kind": "ReleaseGood"`}},
		"Since":      {why: "times may be absolute", args: "list --since 2026-09-01T12:01:00Z --until 2026-09-01T12:02:00Z -o yaml", out: []string{"number: 2"}},
		"Nothing":    {why: "nothing is not an error", args: "list --unit other", errs: "Nothing of the kind"},
		"BadTime":    {why: "times that are none are refused", args: "list --since yesterday", code: exitFailed, errs: "--since"},
		"Wide":       {why: "wide tables show more", args: "list -o wide", out: []string{"REASON", "RELEASE"}},
		"Show":       {why: "one record has everything", args: "show 2", out: []string{"number: 2", "kind: ReleaseBegun", "root:"}},
		"ShowNone":   {why: "a number that is not there is an error with a hint", args: "show 9", code: exitFailed, errs: "hint: `holdfast audit list`"},
		"ShowWord":   {why: "a number is a number", args: "show x", code: exitFailed, errs: "no number"},
		"Verify":     {why: "a whole log is whole", args: "verify", out: []string{"3 records are as they were written", "vouch for the first 3"}},
		"VerifyKey":  {why: "by a key from elsewhere", args: "verify --key " + key, out: []string{"3 records"}},
		"VerifyJSON": {why: "for scripts", args: "verify -o json", out: []string{`"size": 3`, `"vouched": 3`}},
		"BadKey":     {why: "a key that is none is refused", args: "verify --key x", code: exitFailed, errs: "reading the verifier key"},
		"OtherKey":   {why: "what no believed key has signed is not known to be true", args: "verify --key holdfast.dev/audit+ae0be20b+AW1U0CknPQ9TEuEDtRKKPxrkjvLUdcj2p9ndxIhRyFTq", code: exitFailed, errs: "verifier key"},
		"Events":     {why: "events are for other systems", args: "export --format cloudevents", out: []string{`"type":"dev.holdfast.audit.ReleaseGood"`, `"specversion":"1.0"`}},
		"BadFormat":  {why: "formats are known", args: "export --format x", code: exitFailed, errs: "jsonl, cloudevents"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			code, out, errs := holdfast(t, append([]string{"audit", "--store", dir}, strings.Fields(c.args)...)...)
			if code != c.code || !strings.Contains(errs, c.errs) {
				t.Errorf("%s: code %d, %s", c.why, code, errs)
			}
			for _, want := range c.out {
				if !strings.Contains(out, want) {
					t.Errorf("%s: %q is not in\n%s", c.why, want, out)
				}
			}
		})
	}
}

func TestAuditExportsAreVerified(t *testing.T) {
	dir, key := recorded(t)
	code, text, errs := holdfast(t, "audit", "export", "--store", dir)
	if code != exitOK {
		t.Fatal(errs)
	}
	lines := strings.SplitAfter(text, "\n")
	var head struct{ Checkpoints []string }
	if err := json.Unmarshal([]byte(lines[0]), &head); err != nil || len(head.Checkpoints) == 0 {
		t.Fatal(lines[0], err)
	}
	whole, checkpoint, edited := filepath.Join(dir, "whole"), filepath.Join(dir, "checkpoint"), filepath.Join(dir, "edited")
	for file, content := range map[string]string{
		whole: text, checkpoint: head.Checkpoints[len(head.Checkpoints)-1],
		edited: strings.Replace(text, "ReleaseBegun", "ReleaseBegan", 1),
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code, out, errs := holdfast(t, "audit", "verify", whole, "--key", key, "--checkpoint", checkpoint); code != exitOK {
		t.Errorf("%s%s", out, errs)
	}
	if code, _, errs := holdfast(t, "audit", "verify", edited); code != exitFailed || !strings.Contains(errs, "record 2:") {
		t.Errorf("record 2 was altered: %d %s", code, errs)
	}
	unsigned := strings.Replace(text, lines[0], `{"format":"holdfast.audit/v1","size":3,"keys":null,"checkpoints":null}`+"\n", 1)
	if err := os.WriteFile(edited, []byte(unsigned), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := holdfast(t, "audit", "verify", edited); code != exitUnknown {
		t.Errorf("what nothing vouches for is unknown: %d %s", code, errs)
	}
}

func TestAuditStoreIsMissing(t *testing.T) {
	code, _, errs := holdfast(t, "audit", "list", "--store", filepath.Join(t.TempDir(), "none"))
	if code != exitFailed || !strings.Contains(errs, "holdfast up") {
		t.Errorf("%d %s", code, errs)
	}
	t.Setenv(storeVariable, "mysql://user:canary@host/db")
	code, _, errs = holdfast(t, "audit", "list")
	if code != exitFailed || strings.Contains(errs, "canary") {
		t.Errorf("%d %s", code, errs)
	}
}
