package keyring

import (
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
)

// errPlugin says why recipients and identities of plugins are refused.
var errPlugin = errors.New("it belongs to an age plugin, which is a program, and holdfast starts none")

// ParseRecipient reads an age recipient: age1…, the post-quantum age1pq1…, or a public key of SSH.
func ParseRecipient(text string) (age.Recipient, error) {
	text = strings.TrimSpace(text)
	var (
		parsed age.Recipient
		err    error
	)
	switch {
	case strings.HasPrefix(text, "age1pq1"):
		parsed, err = age.ParseHybridRecipient(text)
	case strings.HasPrefix(text, "age1") && strings.Count(text, "1") > 1:
		err = errPlugin
	case strings.HasPrefix(text, "age1"):
		parsed, err = age.ParseX25519Recipient(text)
	case strings.HasPrefix(text, "ssh-"):
		parsed, err = agessh.ParseRecipient(text)
	default:
		err = errors.New("it begins neither with age1 nor with ssh-")
	}
	if err != nil {
		return nil, fmt.Errorf("reading age recipient %q: %w", text, err)
	}
	return parsed, nil
}

// Same tells whether two recipients are the same key. Public keys of SSH may carry a comment.
func Same(a, b string) bool { return Canonical(a) == Canonical(b) }

// Canonical returns a recipient without what is not part of the key.
func Canonical(recipient string) string {
	fields := strings.Fields(recipient)
	if len(fields) > 2 && strings.HasPrefix(fields[0], "ssh-") {
		fields = fields[:2]
	}
	return strings.Join(fields, " ")
}
