package identity

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"
)

// TestShelf: what is kept is bounded, ends before it expires, and a failure is not kept.
func TestShelf(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := shelf[int]{now: func() time.Time { return now }}
	made := 0
	get := func(key string, life time.Duration, err error) int {
		value, _ := s.get(t.Context(), key, func(context.Context) (int, time.Duration, error) {
			made++
			return made, life, err
		})
		return value
	}
	if get("a", time.Hour, errors.New("away")) != 0 || get("a", time.Hour, nil) != 2 || get("a", time.Hour, nil) != 2 {
		t.Errorf("it was made %d times", made)
	}
	now = now.Add(48 * time.Minute)
	if get("a", 100*time.Hour, nil) != 3 {
		t.Error("a fifth of its life must be left")
	}
	now = now.Add(longest)
	if get("a", time.Hour, nil) != 4 {
		t.Error("nothing is kept for longer than an hour")
	}
	for i := range 3 * mostKept {
		get(strconv.Itoa(i), time.Hour, nil)
		if len(s.all) > mostKept {
			t.Fatalf("%d are kept", len(s.all))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.place("held").turn <- struct{}{}
	if _, err := s.get(ctx, "held", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait ends with its context: %v", err)
	}
}
