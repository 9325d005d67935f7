package receiver

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // some senders have nothing better
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"hash"
	"net/http"
	"strings"

	"holdfast.dev/holdfast/internal/model/redact"
)

var (
	errUnsigned  = errors.New("the call has no signature")
	errSignature = errors.New("the signature does not fit the call")
	errToken     = errors.New("the token in the header is not the receiver's")
)

// signed checks a signature, "algorithm=hex", over the raw body. It takes the same time whatever the
// signature is.
func signed(signature string, body []byte, token redact.Bytes) error {
	if len(token) == 0 {
		return errToken
	}
	algorithm, encoded, found := strings.Cut(signature, "=")
	if !found || encoded == "" {
		return errUnsigned
	}
	var hashed func() hash.Hash
	switch algorithm {
	case "sha256":
		hashed = sha256.New
	case "sha512":
		hashed = sha512.New
	case "sha1":
		hashed = sha1.New
	default:
		return errSignature
	}
	given, err := hex.DecodeString(encoded)
	if err != nil {
		return errSignature
	}
	mac := hmac.New(hashed, token)
	_, _ = mac.Write(body)
	if !hmac.Equal(mac.Sum(nil), given) {
		return errSignature
	}
	return nil
}

// carries checks that a header is the token. The comparison takes the same time whatever the header
// is, its length included.
func carries(header http.Header, name string, token redact.Bytes) error {
	if len(token) == 0 {
		return errToken
	}
	given, wanted := sha256.Sum256([]byte(header.Get(name))), sha256.Sum256(token)
	if subtle.ConstantTimeCompare(given[:], wanted[:]) != 1 {
		return errToken
	}
	return nil
}
