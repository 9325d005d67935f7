package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/go-git/go-git/v5/plumbing"
)

// errGarbage says that the other side does not speak Git.
var errGarbage = errors.New("the server's answer is not Git's protocol")

// RemoteError is what the server said went wrong, fit to be shown.
type RemoteError struct{ Text string }

// Error implements error.
func (e *RemoteError) Error() string { return "the server says: " + e.Text }

const maxPacket = 65520

// packets reads pkt-lines.
type packets struct {
	in     io.Reader
	buffer [maxPacket]byte
}

// next returns the payload of a pkt-line, valid until the next call; nil is a flush.
func (p *packets) next() ([]byte, error) {
	if _, err := io.ReadFull(p.in, p.buffer[:4]); err != nil {
		return nil, err
	}
	length, err := packetLength(p.buffer[:4])
	if err != nil || length == 0 {
		return nil, err
	}
	payload := p.buffer[:length-4]
	if _, err := io.ReadFull(p.in, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if text, found := bytes.CutPrefix(payload, []byte("ERR ")); found {
		return nil, &RemoteError{Text: printable(string(text))}
	}
	return payload, nil
}

func packetLength(digits []byte) (int, error) {
	length := 0
	for _, digit := range digits {
		value := strings.IndexByte("0123456789abcdef", digit|0x20)
		if value < 0 || digit < '0' {
			return 0, errGarbage
		}
		length = length<<4 | value
	}
	if length != 0 && (length <= 4 || length > maxPacket) {
		return 0, errGarbage
	}
	return length, nil
}

// line is next without the line feed.
func (p *packets) line() (string, bool, error) {
	payload, err := p.next()
	if err != nil || payload == nil {
		return "", payload == nil && err == nil, err
	}
	return strings.TrimSuffix(string(payload), "\n"), false, nil
}

func writePacket(out *bytes.Buffer, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	fmt.Fprintf(out, "%04x%s", len(line)+4, line)
}

const flush = "0000"

// sideband reads the pack out of a multiplexed stream, and drops the progress.
type sideband struct {
	packets packets
	rest    []byte
	done    bool
}

// Read implements io.Reader.
func (s *sideband) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.done {
			return 0, io.EOF
		}
		payload, err := s.packets.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		if payload == nil {
			s.done = true
			continue
		}
		switch payload[0] {
		case 1:
			s.rest = payload[1:]
		case 2: // progress
		case 3:
			return 0, &RemoteError{Text: printable(string(payload[1:]))}
		default:
			return 0, errGarbage
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// printable makes a text that comes from outside fit for one line of a condition.
func printable(text string) string {
	const longest = 200
	var out strings.Builder
	for _, r := range strings.TrimSpace(text) {
		switch {
		case out.Len() > longest:
			return out.String() + "…"
		case r == '\n', r == '\t':
			out.WriteByte(' ')
		case unicode.IsPrint(r):
			out.WriteRune(r)
		default:
		}
	}
	return out.String()
}

// parseHash reads the forty digits of an object name.
func parseHash(text string) (plumbing.Hash, bool) {
	if len(text) != 40 || !plumbing.IsHash(text) {
		return plumbing.ZeroHash, false
	}
	return plumbing.NewHash(text), true
}
