package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
)

func lines(texts ...string) string {
	var out bytes.Buffer
	for _, text := range texts {
		if text == "" {
			out.WriteString(flush)
			continue
		}
		fmt.Fprintf(&out, "%04x%s", len(text)+4, text)
	}
	return out.String()
}

const (
	zero = "0000000000000000000000000000000000000000"
	one  = "1111111111111111111111111111111111111111"
	two  = "2222222222222222222222222222222222222222"
)

func TestAdvertisement(t *testing.T) {
	first := one + " HEAD\x00thin-pack shallow ofs-delta side-band-64k object-format=sha1 agent=git/2\n"
	cases := map[string]struct {
		why  string
		in   string
		refs int
		want error
		text string
	}{
		"SSH":            {why: "as it comes from a pipe", in: lines(first, one+" refs/heads/main\n", ""), refs: 2},
		"HTTP":           {why: "with a preamble", in: lines("# service=git-upload-pack\n", "", first, one+" refs/heads/main\n", ""), refs: 2},
		"Peeled":         {why: "an annotated tag", in: lines(first, one+" refs/tags/v1\n", two+" refs/tags/v1^{}\n", ""), refs: 2},
		"Shallow":        {why: "a remote that is shallow itself", in: lines(first, "shallow "+two+"\n", ""), refs: 1},
		"Empty":          {why: "a flush alone", in: lines(""), want: ErrEmpty},
		"EmptyHTTP":      {why: "a flush alone, after the preamble", in: lines("# service=git-upload-pack\n", "", ""), want: ErrEmpty},
		"EmptyNew":       {why: "capabilities without a reference", in: lines(zero+" capabilities^{}\x00x\n", ""), want: ErrEmpty},
		"SHA256":         {why: "not supported, and said so", in: lines(one+" HEAD\x00object-format=sha256\n", ""), text: "only sha1 is supported"},
		"Error":          {why: "the server's own words", in: lines("ERR no \x1b[31msuch\x00 repo\n"), text: "the server says: no [31msuch repo"},
		"LoosePeel":      {why: "a peeled tag without its tag", in: lines(first, two+" refs/tags/x^{}\n", ""), want: errGarbage},
		"ShortHash":      {why: "", in: lines("123 HEAD\x00\n", ""), want: errGarbage},
		"NoName":         {why: "", in: lines(one+"\x00\n", ""), want: errGarbage},
		"CutOff":         {why: "", in: lines(first), want: io.EOF},
		"CutInLine":      {why: "", in: lines(first)[:30], want: io.ErrUnexpectedEOF},
		"NotHex":         {why: "", in: "zzzz", want: errGarbage},
		"TooShortLength": {why: "", in: "0003", want: errGarbage},
		"TooLongLength":  {why: "", in: "ffff", want: errGarbage},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ad, err := readAdvertisement(strings.NewReader(c.in))
			switch {
			case c.text != "":
				if err == nil || !strings.Contains(err.Error(), c.text) {
					t.Errorf("%s: got %v, want %q", c.why, err, c.text)
				}
			case !errors.Is(err, c.want):
				t.Errorf("%s: got %v, want %v", c.why, err, c.want)
			case err == nil && len(ad.Refs) != c.refs:
				t.Errorf("%s: got %v", c.why, ad.Refs)
			}
		})
	}
}

func TestDecodePack(t *testing.T) {
	bare := &Advertisement{}
	banded := &Advertisement{capabilities: map[string]string{"side-band-64k": ""}}
	cases := map[string]struct {
		why  string
		ad   *Advertisement
		want Want
		in   string
		pack string
		err  error
	}{
		"Plain":      {"no band", bare, Want{}, lines("NAK\n") + "PACK", "PACK", nil},
		"Banded":     {"progress is dropped", banded, Want{}, lines("NAK\n", "\x02counting", "\x01PA", "\x01CK", ""), "PACK", nil},
		"Shallow":    {"the cuts come first", banded, Want{Shallow: true}, lines("shallow "+one, "unshallow "+two, "", "NAK\n", "\x01PACK", ""), "PACK", nil},
		"ManyAcks":   {"the last has no status", banded, Want{}, lines("ACK "+one+" common\n", "ACK "+one+" ready\n", "ACK "+one+"\n", "\x01PACK", ""), "PACK", nil},
		"NoAnswer":   {"", banded, Want{}, lines(""), "", errGarbage},
		"WrongWord":  {"", banded, Want{}, lines("WHAT"), "", errGarbage},
		"WrongBand":  {"", banded, Want{}, lines("NAK\n", "\x07x"), "", errGarbage},
		"CutOff":     {"", banded, Want{}, lines("NAK\n", "\x01PA"), "", io.ErrUnexpectedEOF},
		"NoShallows": {"", banded, Want{Shallow: true}, lines("NAK\n"), "", errGarbage},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			stream, err := decodePack(c.ad, c.want, strings.NewReader(c.in))
			var pack []byte
			if err == nil {
				pack, err = io.ReadAll(stream)
			}
			if !errors.Is(err, c.err) || (err == nil && string(pack) != c.pack) {
				t.Errorf("%s: got %q and %v, want %q and %v", c.why, pack, err, c.pack, c.err)
			}
		})
	}
}

func TestEncodeWant(t *testing.T) {
	ad := &Advertisement{capabilities: map[string]string{
		"multi_ack": "", "thin-pack": "", "side-band": "", "ofs-delta": "", "shallow": "", "agent": "x", "other": "",
	}}
	want := Want{
		Hashes: []plumbing.Hash{plumbing.NewHash(one), plumbing.NewHash(two)}, Haves: []plumbing.Hash{plumbing.NewHash(two)}, Shallow: true,
	}
	expected := lines(
		"want "+one+" thin-pack ofs-delta shallow multi_ack side-band agent=git/x\n", "want "+two+"\n",
		"shallow "+two+"\n", "deepen 1\n", "", "have "+two+"\n", "done\n",
	)
	if got := encodeWant(ad, want, "git/x").String(); got != expected {
		t.Errorf("got %q, want %q", got, expected)
	}
}

func FuzzAdvertisement(f *testing.F) {
	f.Add([]byte(lines("# service=git-upload-pack\n", "", one+" HEAD\x00shallow\n", one+" refs/tags/x\n", two+" refs/tags/x^{}\n", "")))
	f.Add([]byte(lines("ERR x")))
	f.Add([]byte("0000"))
	f.Fuzz(func(t *testing.T, in []byte) {
		ad, err := readAdvertisement(bytes.NewReader(in))
		if err == nil && len(ad.Refs) == 0 {
			t.Error("nothing is not an advertisement")
		}
	})
}

func FuzzDecodePack(f *testing.F) {
	f.Add([]byte(lines("shallow "+one, "", "NAK\n", "\x01PACK", "")), true)
	f.Add([]byte(lines("NAK\n", "\x03error")), false)
	f.Fuzz(func(_ *testing.T, in []byte, shallow bool) {
		ad := &Advertisement{capabilities: map[string]string{"side-band-64k": ""}}
		stream, err := decodePack(ad, Want{Shallow: shallow}, bytes.NewReader(in))
		if err == nil {
			_, _ = io.Copy(io.Discard, stream)
		}
	})
}
