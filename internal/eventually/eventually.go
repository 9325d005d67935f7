// Package eventually waits in tests for what nobody announces.
//
// In: a question. Out: its answer once it is yes, or a failed test. Where there is an event to wait
// for, wait for that.
package eventually

import (
	"testing"
	"time"
)

const (
	// Patience is how long anything may take on a machine that has much else to do.
	Patience = 60 * time.Second
	pause    = 5 * time.Millisecond
)

// True asks until the answer is yes, and fails the test when it stays no.
func True(t testing.TB, claim string, is func() bool) {
	t.Helper()
	Within(t, Patience, claim, is)
}

// Within is True for claims that must come true sooner.
func Within(t testing.TB, limit time.Duration, claim string, is func() bool) {
	t.Helper()
	ended := time.NewTimer(limit)
	defer ended.Stop()
	again := time.NewTicker(pause)
	defer again.Stop()
	for !is() {
		select {
		case <-again.C:
		case <-ended.C:
			if !is() { // the machine may have slept between the last two
				t.Fatalf("within %s it did not come true that %s", limit, claim)
			}
			return
		}
	}
}
