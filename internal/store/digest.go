package store

import (
	"fmt"
	"strings"
)

const sha256Length = 64

// digestLengths are the algorithms that artifacts may be addressed by, with the length in hex.
var digestLengths = map[string]int{"sha256": sha256Length, "sha384": 96, "sha512": 128}

// ParseDigest checks a digest from outside, "algorithm:hex", and returns its parts. A digest without
// an algorithm is SHA-256, as Flux reads it.
func ParseDigest(digest string) (algorithm, hex string, err error) {
	algorithm, hex, found := strings.Cut(digest, ":")
	if !found {
		algorithm, hex = "sha256", digest
	}
	length, known := digestLengths[algorithm]
	if !known {
		return "", "", fmt.Errorf("reading digest %q: algorithm is none of sha256, sha384, sha512", digest)
	}
	if !isHex(hex, length) {
		return "", "", fmt.Errorf("reading digest %q: want %d lower-case hex digits", digest, length)
	}
	return algorithm, hex, nil
}

func isHex(text string, length int) bool {
	return len(text) == length && strings.Trim(text, "0123456789abcdef") == ""
}
