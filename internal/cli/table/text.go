package table

import (
	"regexp"
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/util/duration"
)

// Tone is what a text means to the reader; it becomes a colour.
type Tone int

// The tones.
const (
	Plain Tone = iota
	Good
	Bad
	Busy
	Faint
)

// Paint colours text by its tone where colours are wanted.
func Paint(text string, tone Tone, colour bool) string {
	codes := map[Tone]string{Good: "32", Bad: "31", Busy: "33", Faint: "2"}
	code, found := codes[tone]
	if !colour || !found || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// OneLine joins the lines of a text and drops characters that would steer a terminal.
func OneLine(text string) string {
	if strings.IndexFunc(text, unprintable) < 0 {
		return text
	}
	return strings.Map(func(r rune) rune {
		if unprintable(r) {
			return -1
		}
		return r
	}, strings.Join(strings.Fields(text), " "))
}

// unprintable tells whether a character steers a terminal or turns the direction of text.
func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

// Age writes the time between then and now as Kubernetes does: "5m", "3h12m". Times in the future
// are clocks that differ a little, and a zero time is an unknown one.
func Age(then, now time.Time) string {
	if then.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(max(now.Sub(then), 0))
}

var digest = regexp.MustCompile(`\b(sha1|sha256|sha384|sha512):([0-9a-f]{12})[0-9a-f]+`)

// ShortDigests cuts the digests in a text to twelve digits.
func ShortDigests(text string) string { return digest.ReplaceAllString(text, "$1:$2") }
