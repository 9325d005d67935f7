package scan

import (
	"bytes"
	"math"
	"path"
	"slices"
	"strings"
)

// secretive are the ends of names whose values are secret.
func secretive() []string {
	return []string{
		"password", "passwd", "passphrase", "secret", "secretkey", "apikey", "accesskey", "privatekey",
		"signingkey", "encryptionkey", "authkey", "token", "credential", "credentials", "clientsecret",
	}
}

// fillers are words that stand where a secret will be.
func fillers() []string {
	return []string{"example", "placeholder", "changeme", "change-me", "change_me", "replace", "your-", "your_", "dummy", "xxxx", "0123456789", "abcdef0123"}
}

func isPlaceholder(value []byte) bool {
	lower := strings.ToLower(string(value))
	return slices.ContainsFunc(fillers(), func(word string) bool { return strings.Contains(lower, word) })
}

// isReference tells whether a value is filled in later, or is encrypted.
func isReference(value []byte) bool {
	for _, prefix := range []string{"ENC[", "$", "{{", "<", "%", "#", "!"} {
		if bytes.HasPrefix(value, []byte(prefix)) {
			return true
		}
	}
	return bytes.Contains(value, []byte("${")) || bytes.Contains(value, []byte("{{"))
}

// assignments finds values that look random under names that look secret.
func (s *search) assignments() {
	names := secretive()
	for start := 0; start < len(s.content); {
		end := len(s.content)
		if i := bytes.IndexByte(s.content[start:], '\n'); i >= 0 {
			end = start + i
		}
		s.line(start, s.content[start:end], names)
		start = end + 1
	}
}

// isCode tells whether names stand for values in a file, so that only what is quoted is a value.
func isCode(name string) bool {
	return slices.Contains([]string{
		".go", ".js", ".jsx", ".ts", ".tsx", ".py", ".rb", ".java", ".kt", ".rs", ".c", ".h", ".cc", ".cpp", ".cs", ".php", ".swift", ".scala", ".lua",
	}, path.Ext(name))
}

// line looks at each name in a line that is followed by a value.
func (s *search) line(offset int, line []byte, names []string) {
	const longest, most = 8192, 16
	line = line[:min(len(line), longest)]
	for from, times := 0, 0; times < most; times++ {
		at := bytes.IndexAny(line[from:], ":=")
		if at < 0 {
			return
		}
		at += from
		from = at + 1
		if !isSecretive(nameBefore(line[:at]), names) {
			continue
		}
		value, isQuoted := valueAfter(line[from:])
		if (isQuoted || !s.code) && looksRandom(value) {
			s.add(offset+at, Entropy, "a value that looks random, under a name that looks secret")
		}
	}
}

// nameBefore returns the name at the end of a text, as it stands before a sign of assignment.
func nameBefore(text []byte) []byte {
	text = bytes.TrimRight(text, " \t\"'`?+")
	start := len(text)
	for start > 0 && (isWord(text[start-1]) || text[start-1] == '.') {
		start--
	}
	return text[start:]
}

func isSecretive(name []byte, names []string) bool {
	const shortest, longest = 5, 100
	if len(name) < shortest || len(name) > longest {
		return false
	}
	var buffer [longest]byte // this is done for each line of each file
	bare := buffer[:0]
	for _, c := range name {
		switch {
		case isUpper(c):
			bare = append(bare, c+'a'-'A')
		case isAlnum(c):
			bare = append(bare, c)
		}
	}
	for _, end := range names {
		if len(bare) >= len(end) && string(bare[len(bare)-len(end):]) == end {
			return true
		}
	}
	return false
}

// valueAfter returns the value at the beginning of a text, without its quotes.
func valueAfter(text []byte) (value []byte, quoted bool) {
	text = bytes.TrimLeft(text, "=: \t")
	if len(text) == 0 {
		return nil, false
	}
	if quote := text[0]; quote == '"' || quote == '\'' || quote == '`' {
		if end := bytes.IndexByte(text[1:], quote); end >= 0 {
			return text[1 : 1+end], true
		}
		return nil, true
	}
	if end := bytes.IndexAny(text, " \t\r,;\"'`)}]"); end >= 0 {
		text = text[:end]
	}
	return text, false
}

// looksRandom tells whether people would hardly have thought of a value.
func looksRandom(value []byte) bool {
	const shortest, longest = 12, 4096
	if len(value) < shortest || len(value) > longest || isReference(value) || isPlaceholder(value) {
		return false
	}
	if bytes.ContainsAny(value, " \t\\(") || bytes.Contains(value, []byte("://")) || value[0] == '/' || value[0] == '.' || bytes.HasPrefix(value, []byte("sha256:")) {
		return false
	}
	digits, lowers, uppers, signs, switches, unbroken := profile(value)
	if digits == 0 || entropy(value) < 3 {
		return false
	}
	classes := 0
	for _, count := range []int{lowers, uppers, signs} {
		if count > 0 {
			classes++
		}
	}
	if classes >= 2 {
		return unbroken >= 8
	}
	return unbroken >= 16 && switches >= 4
}

// profile counts what a value consists of: how often digits and letters alternate, and how long it goes
// on without a sign that parts words.
func profile(value []byte) (digits, lowers, uppers, signs, switches, unbroken int) {
	length := 0
	for i, c := range value {
		length++
		switch {
		case isDigit(c):
			digits++
		case isLower(c):
			lowers++
		case isUpper(c):
			uppers++
		case c == '-' || c == '_' || c == '.' || c == '/' || c == ':':
			length = 0
		default:
			signs++
		}
		if i > 0 && isAlnum(c) && isAlnum(value[i-1]) && isDigit(c) != isDigit(value[i-1]) {
			switches++
		}
		unbroken = max(unbroken, length)
	}
	return digits, lowers, uppers, signs, switches, unbroken
}

// entropy is Shannon's, in bits for each byte.
func entropy(value []byte) float64 {
	var counts [256]int
	for _, c := range value {
		counts[c]++
	}
	bits := 0.0
	for _, count := range counts {
		if count > 0 {
			share := float64(count) / float64(len(value))
			bits -= share * math.Log2(share)
		}
	}
	return bits
}

// addresses finds passwords in addresses.
func (s *search) addresses() {
	for at := range each(s.content, []byte("://")) {
		rest := s.content[at+3:]
		const longest = 300
		rest = rest[:min(len(rest), longest)]
		end := bytes.IndexAny(rest, " \t\r\n\"'`/?#<>,;)|\\")
		if end >= 0 {
			rest = rest[:end]
		}
		user, _, found := bytes.Cut(rest, []byte("@"))
		if !found {
			continue
		}
		_, password, found := bytes.Cut(user, []byte(":"))
		if !found || len(password) < 4 || isReference(password) || isPlaceholder(password) || isWordForPassword(password) {
			continue
		}
		s.add(at, Password, "a password in an address")
	}
}

func isWordForPassword(value []byte) bool {
	return slices.Contains([]string{"pass", "password", "passwd", "secret", "token", "****", "pwd", "(secret)", "redacted"}, strings.ToLower(string(value)))
}
