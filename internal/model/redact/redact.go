// Package redact holds values that must never be shown: they print, log, and marshal as a
// placeholder, and give up their content only to a caller that asks for it by name.
package redact

import "fmt"

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
