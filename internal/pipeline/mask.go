package pipeline

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/render"
)

// secrets are values that must not be seen: a server may repeat them when it refuses an object.
type secrets struct {
	variables render.Variables
	revealed  []redact.Text // what was decrypted
}

// forms are the forms in which a server may repeat values of variables, the longest first.
func (s secrets) forms() []string { return formsOf(s.variables) }

func formsOf(variables render.Variables) []string {
	var found []string
	for name, secret := range variables.Secret {
		value := variables.Values[name]
		if !secret || value == "" {
			continue
		}
		quoted := strconv.Quote(value)
		found = append(found, value, quoted[1:len(quoted)-1], base64.StdEncoding.EncodeToString([]byte(value)))
	}
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(found)
}

// masked is an error whose text was cleared of secrets. Its chain still tells kind and reason.
type masked struct {
	text  string
	cause error
}

// Error implements error.
func (m masked) Error() string { return m.text }

// Unwrap implements the errors.Unwrap contract.
func (m masked) Unwrap() error { return m.cause }

// mask takes the values out of what an outcome says.
func (s secrets) mask(out Outcome) Outcome {
	if out.Err == nil {
		return out
	}
	if text := s.in(out.Err.Error()); text != out.Err.Error() {
		out.Err = masked{text, out.Err}
	}
	return out
}

// in takes the values out of a text.
func (s secrets) in(text string) string {
	for _, secret := range s.forms() {
		text = strings.ReplaceAll(text, secret, redact.Placeholder)
	}
	return redact.Out(text, s.revealed)
}
