package sealed

import (
	"bytes"
	"regexp"
	"strings"

	"holdfast.dev/holdfast/internal/model/redact"
)

// Format is a form in which SOPS writes data.
type Format string

// The formats. Binary is a JSON envelope around one value.
const (
	YAML   Format = "yaml"
	JSON   Format = "json"
	Dotenv Format = "dotenv"
	INI    Format = "ini"
	Binary Format = "binary"
)

// FormatOf returns the format that the name of a file or of a Secret's key asks for, as SOPS and Flux
// read it. What has no known extension is binary.
func FormatOf(name string) Format {
	switch {
	case strings.HasSuffix(name, ".yaml"), strings.HasSuffix(name, ".yml"):
		return YAML
	case strings.HasSuffix(name, ".json"), strings.HasSuffix(name, ".dockerconfigjson"):
		return JSON
	case strings.HasSuffix(name, ".env"):
		return Dotenv
	case strings.HasSuffix(name, ".ini"):
		return INI
	default:
		return Binary
	}
}

// EnvFormatOf is FormatOf for files that are read as environment files.
func EnvFormatOf(name string) Format {
	if format := FormatOf(name); format != Binary {
		return format
	}
	return Dotenv
}

// Value is how every value begins that SOPS encrypted.
const Value = "ENC[AES256_GCM,"

// What a file holds beside its values, where SOPS encrypted it.
var (
	inJSON   = regexp.MustCompile(`"mac"\s*:\s*"ENC\[`)
	inYAML   = regexp.MustCompile(`(?m)^(\s+|.*\{\s*|.*,\s*)["']?mac["']?\s*:\s*[>|]?-?\s*["']?ENC\[`)
	topYAML  = regexp.MustCompile(`(?m)^["']?sops["']?\s*:`)
	inDotenv = regexp.MustCompile(`(?m)^sops_mac=ENC\[`)
	inINI    = regexp.MustCompile(`(?m)^\s*\[sops\]\s*$`)
)

// Sniff tells whether data is a whole that SOPS encrypted, and in which format. JSON may also be a
// binary envelope: only what it is opened as can tell.
func Sniff(data []byte) (Format, bool) {
	if !HoldsValues(data) {
		return "", false
	}
	trimmed := bytes.TrimSpace(data)
	switch {
	case bytes.HasPrefix(trimmed, []byte("{")) && inJSON.Match(data):
		return JSON, true
	case inDotenv.Match(data):
		return Dotenv, true
	case inINI.Match(data):
		return INI, true
	case topYAML.Match(data) && inYAML.Match(data):
		return YAML, true
	}
	return "", false
}

// HoldsValues tells whether there are encrypted values in data, whether or not it can be opened.
func HoldsValues(data []byte) bool { return bytes.Contains(data, []byte(Value)) }

// Box is encrypted data, and what is known of it.
type Box struct {
	// Path names the file in the tree that the data came from, and Part what of it or of an object made
	// of it is in the box ("Secret web/token", "key values.yaml of Secret web/token"). Both are for
	// messages, and may be empty.
	Path, Part string
	Data       []byte
	// In is the format of the data, Out the one that is wanted.
	In, Out Format
	// Original is the file that the data was made of, where others than SOPS have changed the data
	// since: its integrity is verified in the place of that of the data. It is nil where there is none.
	Original       []byte
	OriginalFormat Format
	// Changed says that data was changed since SOPS wrote it, by somebody who may, so that its integrity
	// is not verified. Original still is.
	Changed bool
}

// Plain is what a box held. It lives as short as possible.
type Plain struct {
	Data redact.Bytes
	// Values are the single values that were encrypted: whoever tells of the data takes them out.
	Values []redact.Text
	// Unopened says that there is no key for the box and that it is to stay as it is.
	Unopened bool
}

// atTop is an encrypted value in the first level of a file.
var atTop = regexp.MustCompile(`(?m)^["']?[\w.-]+["']?\s*[:=]\s*["']?ENC\[AES256_GCM,`)

// Torn tells whether data looks like a part of a whole that SOPS encrypted: there are values, but the
// metadata that opens them is missing. A text that only shows such values is not torn.
func Torn(data []byte) bool {
	if !HoldsValues(data) {
		return false
	}
	trimmed := bytes.TrimSpace(data)
	torn := bytes.HasPrefix(trimmed, []byte(Value)) || bytes.HasPrefix(trimmed, []byte("{")) || atTop.Match(data)
	if !torn {
		return false
	}
	_, whole := Sniff(data)
	return !whole
}

var macOf = regexp.MustCompile(`\bmac["']?\s*[:=]\s*[>|]?-?\s*["']?(ENC\[[^\]\s]*\])`)

// MACs returns the MACs in a file, by which what was made of it can be told.
func MACs(data []byte) []string {
	var found []string
	for _, match := range macOf.FindAllSubmatch(data, -1) {
		found = append(found, string(match[1]))
	}
	return found
}
