package trouble

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maxText is how much of a message is kept.
const maxText = 300

// tidy makes a short line of a message, without the parameters of URLs, which may be signatures.
func tidy(message string) string {
	message, _, _ = strings.Cut(strings.TrimSpace(message), "\n")
	for at := 0; ; {
		start := strings.Index(message[at:], "://")
		if start < 0 {
			break
		}
		at += start + len("://")
		end := len(message)
		if length := strings.IndexAny(message[at:], " \t\"'"); length >= 0 {
			end = at + length
		}
		if mark := strings.IndexAny(message[at:end], "?#"); mark >= 0 {
			message = message[:at+mark] + message[end:]
		}
	}
	if len(message) <= maxText {
		return message
	}
	cut := maxText
	for cut > 0 && !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut] + "…"
}

// blame says whose fault a failed pull is.
type blame int

const (
	blameNobody blame = iota // nobody can tell
	blameImage               // the image is not there, or not for us
	blameWay                 // the registry cannot be reached, or has no time for us
)

// blameFor reads what the container runtime says of a failed pull. An unreachable registry is told
// from a missing image, because what is unreachable comes back.
func blameFor(message string) blame {
	message = plain(message)
	switch {
	case contains(message, "timeout", "timed out", "deadline exceeded", "connection refused", "connection reset", "unreachable",
		"no route to host", "temporary failure", "server misbehaving", "toomanyrequests", "too many requests", "rate limit",
		"qps exceeded", "internal server error", "bad gateway", "service unavailable", "gateway time", "unexpected eof", ": eof", "network is down", "no space left"):
		return blameWay
	case contains(message, "no such host"):
		return blameNobody // a mistake in the name, or a name server that does not know its own
	case contains(message, "not found", "manifest unknown", "name unknown", "does not exist", "unauthorized", "denied", "forbidden",
		"authorization failed", "authentication required", "no basic auth credentials", "insufficient_scope", "no match for platform",
		"no matching manifest", "invalid reference", "invalid tag", "signature"):
		return blameImage
	}
	return blameNobody
}

// plain is a message without names of images, addresses and the like, which may hold any word.
func plain(message string) string {
	words := strings.Fields(strings.ToLower(message))
	words = slices.DeleteFunc(words, func(word string) bool {
		return strings.HasPrefix(word, `"`) || strings.Contains(word, "/")
	})
	return strings.Join(words, " ")
}

// refusal reads why a Pod was not created, and whether that lasts. What went wrong on the way, such
// as a webhook that does not answer, is no refusal.
func refusal(message string) (reason Reason, lasting bool) {
	lower := strings.ToLower(message)
	switch {
	case message == "", contains(lower, "being terminated", "status unknown for quota", "failed calling webhook",
		"failed to call webhook", "timeout", "timed out", "deadline exceeded", "connection refused", "try again"):
		return "", false
	case contains(lower, "exceeded quota", "failed quota"):
		return Quota, true
	case contains(lower, "forbidden", "denied", "is invalid", "violates podsecurity", "not allowed"):
		return Refused, true
	}
	return "", false
}

// awaitsAccount tells whether a Pod was refused for want of its service account.
func awaitsAccount(message string) bool {
	return strings.Contains(message, "error looking up service account")
}

func contains(text string, words ...string) bool {
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}
