package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Origin is the name of the keys that sign checkpoints, and their first line.
const Origin = "holdfast.dev/audit"

// Checkpoint says that the log had a size and a root at a time. Signed, it vouches for all records up
// to that size.
type Checkpoint struct {
	Size int64
	Root tlog.Hash
	At   time.Time
}

var errCheckpoint = errors.New("it is no checkpoint of an audit log")

// text is the form that is signed: that of C2SP's tlog-checkpoint, with the time as a further line.
func (c Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\n%s\n", Origin, c.Size, c.Root, c.At.UTC().Format(time.RFC3339Nano))
}

// parseCheckpoint reads what text wrote, and nothing else.
func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 5 || lines[0] != Origin {
		return Checkpoint{}, errCheckpoint
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 {
		return Checkpoint{}, errCheckpoint
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Checkpoint{}, errCheckpoint
	}
	at, err := time.Parse(time.RFC3339Nano, lines[3])
	if err != nil {
		return Checkpoint{}, errCheckpoint
	}
	read := Checkpoint{Size: size, Root: root, At: at}
	if read.text() != text {
		return Checkpoint{}, errCheckpoint
	}
	return read, nil
}

// sign makes the signed note of a checkpoint.
func (c Checkpoint) sign(signer note.Signer) (string, error) {
	signed, err := note.Sign(&note.Note{Text: c.text()}, signer)
	if err != nil {
		return "", fmt.Errorf("signing the checkpoint of %d records: %w", c.Size, err)
	}
	return string(signed), nil
}

// OpenCheckpoint verifies the signature of a note and reads the checkpoint in it.
func OpenCheckpoint(signed string, keys note.Verifiers) (Checkpoint, error) {
	opened, err := note.Open([]byte(signed), keys)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("verifying a checkpoint: %w", err)
	}
	for _, signature := range append(opened.Sigs, opened.UnverifiedSigs...) {
		if _, err := base64.StdEncoding.Strict().DecodeString(signature.Base64); err != nil {
			return Checkpoint{}, fmt.Errorf("verifying a checkpoint: %w", errCheckpoint)
		}
	}
	return parseCheckpoint(opened.Text)
}

// claimed reads the checkpoint in a note without verifying anything.
func claimed(signed string) (Checkpoint, error) {
	end := strings.Index(signed, "\n\n")
	if end < 0 {
		return Checkpoint{}, errCheckpoint
	}
	return parseCheckpoint(signed[:end+1])
}

// Keys makes verifiers of verifier keys.
func Keys(verifierKeys ...string) (note.Verifiers, error) {
	var list []note.Verifier
	for _, key := range verifierKeys {
		verifier, err := note.NewVerifier(strings.TrimSpace(key))
		if err != nil {
			return nil, fmt.Errorf("reading the verifier key %q: %w", key, err)
		}
		if !strings.Contains(key, fmt.Sprintf("+%08x+", verifier.KeyHash())) {
			return nil, fmt.Errorf("reading the verifier key %q: it is not as it was written", key)
		}
		list = append(list, verifier)
	}
	return note.VerifierList(list...), nil
}

// hashText writes bytes of hashes for an export.
func hashText(hashes []byte) string { return base64.StdEncoding.EncodeToString(hashes) }
