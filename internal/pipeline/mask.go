package pipeline

import (
	"encoding/base64"
	"encoding/json"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/check"
)

// secrets are values that must not be seen: a server may repeat them when it refuses an object.
type secrets struct {
	variables []redact.Text // that go into what is rendered
	revealed  []redact.Text // what was decrypted
	// former are the values before the latest change: what is gone back to was made of them.
	former []redact.Text
}

// vary takes the values that go into what is rendered from now on.
func (s *secrets) vary(values []redact.Text) {
	s.former = parted(s.former, s.variables, values)
	s.variables = values
}

// reveal takes the values that were decrypted for the newest wish.
func (s *secrets) reveal(values []redact.Text) {
	s.former = parted(s.former, s.revealed, values)
	s.revealed = values
}

// formerLimit is how many values that are in use no more are still taken out of texts.
const formerLimit = 1000

// parted adds what is among old and not among now to the values of before.
func parted(before, old, now []redact.Text) []redact.Text {
	known := make(map[redact.Text]bool, len(before)+len(now))
	for _, values := range [][]redact.Text{before, now} {
		for _, value := range values {
			known[value] = true
		}
	}
	for _, value := range old {
		if !known[value] {
			before = append(before, value)
		}
	}
	return before[max(0, len(before)-formerLimit):]
}

// kept returns what the Secrets of a set hold, but for what names its objects: that is no secret. It is
// all that is known of a release that is written again after a restart.
func kept(set check.Passed) []redact.Text {
	objects := set.Objects()
	names := make(map[string]bool, len(objects))
	for _, one := range objects {
		names[one.Name], names[one.Namespace] = true, true
	}
	var values []redact.Text
	for _, one := range objects {
		for _, value := range valuesOf(one) {
			if !names[value.Reveal()] {
				values = append(values, value)
			}
		}
	}
	return values
}

// valuesOf returns what a Secret holds.
func valuesOf(one object.Object) []redact.Text {
	if one.Group != "" || one.Kind != "Secret" {
		return nil
	}
	var secret struct{ Data, StringData map[string]any }
	if json.Unmarshal(one.JSON, &secret) != nil {
		return nil // the server will not take it either
	}
	var values []redact.Text
	for _, value := range secret.Data {
		text, _ := value.(string)
		if plain, err := base64.StdEncoding.DecodeString(text); err == nil {
			text = string(plain)
		}
		values = append(values, redact.Text(text))
	}
	for _, value := range secret.StringData {
		text, _ := value.(string)
		values = append(values, redact.Text(text))
	}
	return values
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
func (u *unit) mask(out Outcome) Outcome {
	out.Told = u.clear(out.Told)
	if out.Err == nil {
		return out
	}
	if text := u.hide(out.Err.Error()); text != out.Err.Error() {
		out.Err = masked{text, out.Err}
	}
	return out
}

// hide takes the values out of a text: of variables, of what was decrypted, and of all Secrets that are
// written.
func (u *unit) hide(text string) string {
	if text == "" {
		return ""
	}
	return u.masking().Out(text)
}

// masking knows all values that must not be seen.
func (u *unit) masking() redact.Mask {
	var values []redact.Text
	for _, some := range [][]redact.Text{
		u.secrets.variables, u.secrets.revealed, u.secrets.former,
		kept(u.passed), kept(u.applied), kept(u.stood.set), kept(u.stood.hooks),
	} {
		values = append(values, some...)
	}
	return redact.NewMask(values)
}
