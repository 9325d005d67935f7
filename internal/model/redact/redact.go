// Package redact holds values that must never be shown: they print, log, and marshal as a
// placeholder, and give up their content only to a caller that asks for it by name.
package redact

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Placeholder is what a secret value prints as, in every format and encoding.
const Placeholder = "(secret)"

// Text is a secret string. Its zero value is empty and prints as the placeholder, too, so that
// output does not even tell whether there was a value.
type Text string

// Reveal returns the plain value. Call it as late as possible, and never for a message.
func (t Text) Reveal() string { return string(t) }

// String implements fmt.Stringer.
func (Text) String() string { return Placeholder }

// GoString implements fmt.GoStringer.
func (Text) GoString() string { return Placeholder }

// Format implements fmt.Formatter, so that no verb prints the value.
func (Text) Format(state fmt.State, _ rune) { _, _ = state.Write([]byte(Placeholder)) }

// MarshalText implements encoding.TextMarshaler, which JSON and YAML encoders use.
func (Text) MarshalText() ([]byte, error) { return []byte(Placeholder), nil }

// Bytes is a secret byte string with the same guarantees as Text.
type Bytes []byte

// Reveal returns the plain value, not a copy.
func (b Bytes) Reveal() []byte { return []byte(b) }

// String implements fmt.Stringer.
func (Bytes) String() string { return Placeholder }

// GoString implements fmt.GoStringer.
func (Bytes) GoString() string { return Placeholder }

// Format implements fmt.Formatter, so that no verb prints the value.
func (Bytes) Format(state fmt.State, _ rune) { _, _ = state.Write([]byte(Placeholder)) }

// MarshalText implements encoding.TextMarshaler.
func (Bytes) MarshalText() ([]byte, error) { return []byte(Placeholder), nil }

// shortest is the length from which a value is taken out wherever it stands. A shorter one is taken out
// where it stands alone: otherwise a single letter would take all text apart.
const shortest = 4

// Mask takes values out of texts. It is immutable. It holds the values, and prints as the placeholder.
type Mask struct{ forms []Text }

// NewMask makes a Mask of values, in the forms in which they may get into a text: as they are, quoted as
// Go and JSON do it, in base64, in hex, as a part of an address, and line by line.
func NewMask(values []Text) Mask {
	forms := make([]Text, 0, 8*len(values))
	for _, value := range values {
		if value == "" {
			continue
		}
		quoted := strconv.Quote(string(value))
		forms = append(forms, value, Text(quoted[1:len(quoted)-1]), Text(base64.StdEncoding.EncodeToString([]byte(value))),
			Text(base64.URLEncoding.EncodeToString([]byte(value))), Text(hex.EncodeToString([]byte(value))),
			Text(url.QueryEscape(string(value))), Text(url.PathEscape(string(value))))
		if encoded, err := json.Marshal(string(value)); err == nil {
			forms = append(forms, Text(encoded[1:len(encoded)-1]))
		}
		if lines := strings.Split(string(value), "\n"); len(lines) > 1 {
			for _, line := range lines {
				forms = append(forms, Text(line))
			}
		}
	}
	slices.SortFunc(forms, func(a, b Text) int { return cmp.Or(len(b)-len(a), strings.Compare(string(a), string(b))) })
	return Mask{slices.Compact(forms)}
}

// Out takes the values out of a text.
func (m Mask) Out(text string) string {
	for _, form := range m.forms {
		switch {
		case len(form) >= shortest:
			text = strings.ReplaceAll(text, string(form), Placeholder)
		case form != "":
			text = outAlone(text, string(form))
		}
	}
	return text
}

// Out takes values out of one text.
func Out(text string, values []Text) string { return NewMask(values).Out(text) }

// outAlone takes a form out where no letter or digit is next to it.
func outAlone(text, form string) string {
	var kept strings.Builder
	for rest, before := text, byte(' '); ; {
		at := strings.Index(rest, form)
		if at < 0 {
			kept.WriteString(rest)
			return kept.String()
		}
		if at > 0 {
			before = rest[at-1]
		}
		after := byte(' ')
		if end := at + len(form); end < len(rest) {
			after = rest[end]
		}
		kept.WriteString(rest[:at])
		if inWord(before) || inWord(after) {
			kept.WriteString(form)
		} else {
			kept.WriteString(Placeholder)
		}
		before, rest = form[len(form)-1], rest[at+len(form):]
	}
}

func inWord(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b >= 0x80
}
