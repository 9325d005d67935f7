package audit_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/database"
	"holdfast.dev/holdfast/internal/record/database/databasetest"
)

const childStore = "HOLDFAST_TEST_AUDIT_CHILD"

// TestMain is the child process of TestKill, where the environment says so: it appends for ever, and
// prints the message of each record that was kept.
func TestMain(m *testing.M) {
	store := os.Getenv(childStore)
	if store == "" {
		os.Exit(m.Run())
	}
	place, err := database.ParsePlace(store)
	if err != nil {
		panic(err)
	}
	db, err := database.Open(place)
	if err != nil {
		panic(err)
	}
	key := audit.SigningKey{Verifier: os.Getenv("VERIFIER")}
	key.Private = redactText(os.Getenv("SIGNER"))
	log := audit.New(db, audit.Options{Key: keyed(key), CheckpointEvery: time.Millisecond})
	go func() { _ = log.Run(context.Background()) }()
	first, _ := strconv.Atoi(os.Getenv("FIRST"))
	for writer := range 4 {
		go func() {
			for i := 0; ; i++ {
				one := entry(first + 10*i + writer)
				if err := log.Record(context.Background(), one); err != nil {
					panic(err)
				}
				fmt.Println(one.Message)
			}
		}()
	}
	select {}
}

// TestKill kills a process that appends, again and again: what it said was kept is there each time, the
// log verifies, and the next process goes on.
func TestKill(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, place database.Place) {
		address := place.String()
		if !place.IsFile() {
			address = databasetest.Address(t, place)
		}
		key := newKey(t)
		rounds := 20
		if testing.Short() {
			rounds = 3
		}
		var kept []string
		for round := range rounds {
			kept = append(kept, appendAndKill(t, address, key, round)...)
			db := open(t, place)
			verify(t, db, audit.Trust{Verifiers: []string{key.Verifier}})
			found, err := audit.List(t.Context(), db, audit.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			there := map[string]bool{}
			for _, r := range found {
				there[r.Entry.Message] = true
			}
			for _, message := range kept {
				if !there[message] {
					t.Fatalf("round %d: %q was kept, and is not there", round, message)
				}
			}
			_ = db.Close()
		}
		log := run(t, place, audit.Options{Key: keyed(key)})
		log.fill(t, 0, 1)
		log.stop()
		report := verify(t, log.db, audit.Trust{Verifiers: []string{key.Verifier}})
		if report.Vouched != report.Size || report.Size <= int64(rounds) {
			t.Errorf("the next process signs what the last one could not: %+v", report)
		}
		t.Logf("%d records and %d checkpoints survived %d kills", report.Size, report.Checkpoints, rounds)
	})
}

// appendAndKill runs a child, kills it after some records, and returns those that it said were kept.
func appendAndKill(t *testing.T, store string, key audit.SigningKey, round int) []string {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childStore+"="+store, "VERIFIER="+key.Verifier, "SIGNER="+key.Private.Reveal(),
		fmt.Sprintf("FIRST=%d", (round+1)*1000000))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var kept []string
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		kept = append(kept, strings.TrimSuffix(line, "\n"))
		if len(kept) == 5+7*round {
			_ = child.Process.Kill()
		}
	}
	_ = child.Wait()
	if len(kept) == 0 {
		t.Fatal("the child has kept nothing")
	}
	return kept
}
