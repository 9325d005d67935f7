package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast.dev/holdfast/internal/record"
)

// version is of the form in which entries are written. A body keeps its bytes for ever, so a reader
// knows all versions up to its own.
const version = 1

const (
	// maxBody is how large the body of a record may be.
	maxBody = 8 << 20
	// maxText is how long a message may be.
	maxText = 64 << 10
	// maxObjects is how many objects an entry names; further ones are counted.
	maxObjects = 10000
)

// Record is an entry with its place in the log.
type Record struct {
	// N is its number; the first is 1.
	N     int64
	Entry record.Entry
	// Body is the entry as it was written, whose hash is in the tree.
	Body []byte
	// Root is of the tree that ends in this record.
	Root  tlog.Hash
	found columns // by which the store finds it
}

// body is the form of version 1: one JSON object without blanks, fields in this order, names of
// details sorted, times in UTC.
type body struct {
	Version int `json:"v"`
	record.Entry
}

// encode writes the body of an entry. What is too large is cut and counted, never refused.
func encode(entry record.Entry, now time.Time) ([]byte, error) {
	if year := entry.At.Year(); year < 1971 || year > 2200 {
		entry.At = now
	}
	entry.At = entry.At.UTC()
	entry.Message = withoutSecrets(shortened(entry.Message))
	if count := len(entry.Objects); count > maxObjects {
		details := map[string]string{"objectsOmitted": strconv.Itoa(count - maxObjects)}
		for name, value := range entry.Details {
			details[name] = value
		}
		entry.Objects, entry.Details = entry.Objects[:maxObjects], details
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body{version, entry}); err != nil {
		return nil, fmt.Errorf("encoding %s of %s: %w", entry.Kind, subjectOf(entry.Subject), err)
	}
	if text.Len() > maxBody {
		return nil, fmt.Errorf("encoding %s of %s: it has %d bytes, which is more than a record may have", entry.Kind, subjectOf(entry.Subject), text.Len())
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// decode reads a body of this version or an earlier one, and of a later one what it knows of.
func decode(text []byte) (record.Entry, error) {
	var read body
	if err := json.Unmarshal(text, &read); err != nil {
		return record.Entry{}, fmt.Errorf("decoding the entry: %w", err)
	}
	if read.Version < 1 {
		return record.Entry{}, errors.New("decoding the entry: it says no version")
	}
	return read.Entry, nil
}

func shortened(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + fmt.Sprintf("… and %d bytes more", len(text)-maxText)
}

// withoutSecrets is a last line of defence: messages come without secrets, and if one has the password
// of a URL or a private key all the same, it is not kept for ever.
func withoutSecrets(text string) string {
	if strings.Contains(text, "@") {
		text = regexp.MustCompile(`://[^\s/@]+@`).ReplaceAllString(text, "://(secret)@")
	}
	if strings.Contains(text, "AGE-SECRET-KEY") {
		text = regexp.MustCompile(`AGE-SECRET-KEY-[0-9A-Z-]+`).ReplaceAllString(text, "(secret)")
	}
	if strings.Contains(text, "PRIVATE KEY") {
		text = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY.*?(-----END [A-Z ]*PRIVATE KEY-----|$)`).ReplaceAllString(text, "(secret)")
	}
	return text
}

// subjectOf writes a subject as people name it: Kind/namespace/name.
func subjectOf(s record.Subject) string {
	parts := []string{s.Kind}
	if s.Namespace != "" {
		parts = append(parts, s.Namespace)
	}
	return strings.Join(append(parts, s.Name), "/")
}

// columns are what the store can be searched by. All of it is in the body as well.
type columns struct {
	at                   int64 // nanoseconds since 1970
	kind, subject, actor string
}

func columnsOf(entry record.Entry) columns {
	clean := func(text string) string { return strings.ReplaceAll(text, "\x00", "") } // which PostgreSQL's text has no room for
	return columns{
		at: entry.At.UnixNano(), kind: clean(string(entry.Kind)),
		subject: clean(subjectOf(entry.Subject)), actor: clean(entry.Actor.Name),
	}
}
