package wire

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Want says what to fetch.
type Want struct {
	Hashes []plumbing.Hash
	// Haves are commits that are here with everything that they consist of.
	Haves []plumbing.Hash
	// Shallow says that the history of Haves is not here and that of Hashes is not wanted. Without
	// it, both are whole.
	Shallow bool
}

// encodeWant writes the request for a pack. All haves go out at once, followed by "done": they are
// few, and one round trip is worth more than a smaller pack in rare cases.
func encodeWant(ad *Advertisement, want Want, agent string) *bytes.Buffer {
	out := new(bytes.Buffer)
	capabilities := ad.choose(agent)
	for i, hash := range want.Hashes {
		if i == 0 {
			writePacket(out, "want %s %s\n", hash, strings.Join(capabilities, " "))
			continue
		}
		writePacket(out, "want %s\n", hash)
	}
	if want.Shallow {
		for _, hash := range want.Haves {
			writePacket(out, "shallow %s\n", hash)
		}
		writePacket(out, "deepen 1\n")
	}
	out.WriteString(flush)
	for _, hash := range want.Haves {
		writePacket(out, "have %s\n", hash)
	}
	writePacket(out, "done\n")
	return out
}

// choose names the capabilities that we use. thin-pack matters most: only with it does Git leave out
// the files that a shallow repository has already.
func (a *Advertisement) choose(agent string) []string {
	var chosen []string
	for _, capability := range []string{"multi_ack_detailed", "thin-pack", "ofs-delta", "shallow", "no-progress"} {
		if a.can(capability) {
			chosen = append(chosen, capability)
		}
	}
	if !a.can("multi_ack_detailed") && a.can("multi_ack") {
		chosen = append(chosen, "multi_ack")
	}
	if band := a.band(); band != "" {
		chosen = append(chosen, band)
	}
	if a.can("agent") {
		chosen = append(chosen, "agent="+agent)
	}
	return chosen
}

func (a *Advertisement) band() string {
	for _, band := range []string{"side-band-64k", "side-band"} {
		if a.can(band) {
			return band
		}
	}
	return ""
}

// decodePack reads what precedes the pack and returns the pack.
func decodePack(ad *Advertisement, want Want, in io.Reader) (io.Reader, error) {
	lines := &packets{in: in}
	if want.Shallow {
		if err := skipShallow(lines); err != nil {
			return nil, err
		}
	}
	for final := false; !final; {
		line, end, err := lines.line()
		if err != nil {
			return nil, err
		}
		words := strings.Fields(line)
		switch {
		case end || len(words) == 0:
			return nil, errGarbage
		case words[0] == "NAK":
			final = true
		case words[0] == "ACK" && (len(words) == 2 || len(words) == 3):
			final = len(words) == 2 // with a status, it is one of many
		default:
			return nil, errGarbage
		}
	}
	if ad.band() == "" {
		return in, nil
	}
	return &sideband{packets: packets{in: in}}, nil
}

// skipShallow reads where the server cut the history. We know it: at the commits that we asked for.
func skipShallow(lines *packets) error {
	for {
		line, end, err := lines.line()
		if err != nil || end {
			return err
		}
		if !strings.HasPrefix(line, "shallow ") && !strings.HasPrefix(line, "unshallow ") {
			return fmt.Errorf("%w: no list of shallow commits", errGarbage)
		}
	}
}
