package localrepo

import (
	"bytes"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
)

func FuzzReadWish(f *testing.F) {
	const hash = "0123456789012345678901234567890123456789"
	for _, lines := range [][]string{
		{"want " + hash + " shallow ofs-delta\n", "deepen 1\n", "", "done\n"},
		{"want " + hash + "\n", "", "have " + hash + "\n", "done\n"},
		{"want nothing"},
		{"deepen -1"},
	} {
		var encoded bytes.Buffer
		encoder := pktline.NewEncoder(&encoded)
		for _, line := range lines {
			if line == "" {
				_ = encoder.Flush()
				continue
			}
			_ = encoder.EncodeString(line)
		}
		f.Add(encoded.Bytes())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		read, err := readWish(bytes.NewReader(raw))
		if err == nil && (len(read.want) == 0 || read.depth < 0) {
			t.Errorf("accepted a request without sense: %+v", read)
		}
	})
}
