package alert_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/record/alert"
	"holdfast.dev/holdfast/internal/record/database"
	"holdfast.dev/holdfast/internal/record/database/databasetest"
)

// TestStored: what is saved is there after a restart, each scope by itself.
func TestStored(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, place database.Place) {
		open := func() *database.DB {
			db, err := database.Open(place)
			if err != nil {
				t.Fatal(err)
			}
			return db
		}
		first := open()
		ledger, other := alert.Stored(first, "a"), alert.Stored(first, "b")
		save := func(into alert.Ledger, changes map[string][]byte) {
			t.Helper()
			if err := into.Save(t.Context(), changes); err != nil {
				t.Fatal(err)
			}
		}
		save(ledger, map[string][]byte{"x": []byte("1"), "y": {0, 255}})
		save(other, map[string][]byte{"x": []byte("other")})
		save(ledger, map[string][]byte{"x": nil, "y": []byte("2"), "z": []byte("3")})
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		second := open()
		defer second.Close()
		kept, err := alert.Stored(second, "a").Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"y": "2", "z": "3"}, texts(kept)); diff != "" {
			t.Errorf("kept (-want +got):\n%s", diff)
		}
	})
}

func texts(kept map[string][]byte) map[string]string {
	all := map[string]string{}
	for key, value := range kept {
		all[key] = string(value)
	}
	return all
}
