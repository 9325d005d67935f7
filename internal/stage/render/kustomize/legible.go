package kustomize

import (
	"strings"

	"holdfast.dev/holdfast/internal/stage/render/confine"
)

// dumps are where kustomize's messages go on with whole objects, which can be secrets.
var dumps = []struct{ at, instead string }{
	{"produces ID conflict: ", "produces ID conflict: two objects would have the same name in the same namespace"},
	{"\n**** Too many possible referral targets", ""},
}

// withoutConfig cuts the configuration of a transformer or generator out of a message.
func withoutConfig(message string) string {
	before, rest, found := strings.Cut(message, " with config: `")
	if !found {
		return message
	}
	if end := strings.LastIndex(rest, "`: "); end >= 0 {
		return before + rest[end+1:]
	}
	return before
}

// maxMessage bounds a message: it ends in a condition and in events.
const maxMessage = 2048

// legible turns a message of kustomize into one line without objects, in which paths are those of
// the tree.
func legible(message string) string {
	for _, dump := range dumps {
		if before, _, found := strings.Cut(message, dump.at); found {
			message = before + dump.instead
		}
	}
	message = withoutConfig(message)
	message = strings.ReplaceAll(message, confine.Root+"/", "")
	message = strings.ReplaceAll(message, "'"+confine.Root+"'", "'.'")
	message = strings.Join(strings.Fields(message), " ")
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	return message
}
