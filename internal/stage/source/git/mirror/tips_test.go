package mirror

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzTips(f *testing.F) {
	f.Add([]byte(strings.Repeat("a", 40) + " refs/shallow/000000\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		decoded, err := decodeTips(content)
		if err != nil {
			return
		}
		again, err := decodeTips(decoded.encode())
		if err != nil || !cmp.Equal(decoded, again) {
			t.Errorf("got %v and %v after %v", again, err, decoded)
		}
	})
}
