package scan

import (
	"bytes"
	"encoding/base64"
)

var (
	begin  = []byte("-----BEGIN ")
	key    = []byte("PRIVATE KEY")
	dashes = []byte("-----")
)

// wrapped is what a PEM block begins with in base64, as the data of Secrets has it.
var wrapped = []byte("LS0tLS1CRUdJTi")

// privateKeys finds keys in PEM, plain or wrapped once more in base64, of any owner.
func (s *search) privateKeys() {
	for at := range each(s.content, begin) {
		if isPrivateKey(s.content[at:]) {
			s.add(at, PrivateKey, "a private key")
		}
	}
	for at := range each(s.content, wrapped) {
		const enough = 400
		text := s.content[at:min(len(s.content), at+enough)]
		text = text[:run(text, isBase64)]
		decoded := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		n, _ := base64.StdEncoding.Decode(decoded, text[:len(text)/4*4]) // what was decoded before an error is enough
		if isPrivateKey(decoded[:n]) {
			s.add(at, PrivateKey, "a private key in base64")
		}
	}
	for at := range each(s.content, []byte("PuTTY-User-Key-File-")) {
		if bytes.Contains(s.content[at:], []byte("Private-Lines:")) {
			s.add(at, PrivateKey, "a private key of PuTTY")
		}
	}
}

// isPrivateKey tells whether a text that begins with -----BEGIN is the beginning of a private key: the
// words alone, as documentation has them, are none.
func isPrivateKey(text []byte) bool {
	if !bytes.HasPrefix(text, begin) {
		return false
	}
	const longest = 60
	title := text[len(begin):min(len(text), longest)]
	end := bytes.Index(title, dashes)
	if end < 0 || !bytes.Contains(title[:end], key) {
		return false
	}
	const enough, window = 64, 1000
	body := text[len(begin)+end+len(dashes):]
	body = body[:min(len(body), window)]
	if stop := bytes.Index(body, dashes); stop >= 0 {
		body = body[:stop]
	}
	longestRun := 0
	total := 0
	for len(body) > 0 {
		n := run(body, isBase64)
		if n == 0 {
			body = body[1:]
			continue
		}
		if n >= 16 { // shorter runs are words of headers
			total += n
		}
		longestRun = max(longestRun, n)
		body = body[n:]
	}
	return total >= enough && longestRun >= 16
}

// run returns how many bytes at the beginning are of a kind.
func run(text []byte, is func(byte) bool) int {
	for i, c := range text {
		if !is(c) {
			return i
		}
	}
	return len(text)
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLower(c byte) bool  { return c >= 'a' && c <= 'z' }
func isUpper(c byte) bool  { return c >= 'A' && c <= 'Z' }
func isAlnum(c byte) bool  { return isDigit(c) || isLower(c) || isUpper(c) }
func isWord(c byte) bool   { return isAlnum(c) || c == '_' || c == '-' }
func isBase64(c byte) bool { return isAlnum(c) || c == '+' || c == '/' || c == '=' }
func isHex(c byte) bool    { return isDigit(c) || c >= 'a' && c <= 'f' }
func isCaps(c byte) bool   { return isDigit(c) || isUpper(c) }
func isDotted(c byte) bool { return isWord(c) || c == '.' }

// each yields where a word is in a text.
func each(text, word []byte) func(func(int) bool) {
	return func(yield func(int) bool) {
		for from := 0; ; {
			at := bytes.Index(text[from:], word)
			if at < 0 || !yield(from+at) {
				return
			}
			from += at + len(word)
		}
	}
}
