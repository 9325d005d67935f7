package verify

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"golang.org/x/crypto/ssh"
)

// Keys are the public keys that are trusted.
type Keys struct {
	openPGP openpgp.EntityList
	ssh     []sshKey
}

// sshKey is one line of a file of keys.
type sshKey struct {
	key           ssh.PublicKey
	who           string    // the principals of allowed_signers, or the comment
	after, before time.Time // of its validity; zero is no bound
}

// maxKeys bounds the text of all keys.
const maxKeys = 4 << 20

// ParseKeys reads the entries of a Secret: names that end in .sshpub hold keys of SSH, as
// authorized_keys or allowed_signers has them, and all others armored OpenPGP keys, for which .asc is the
// usual name. An entry that cannot be read is an error: a key that is passed over is a surprise later.
func ParseKeys(data map[string][]byte) (Keys, error) {
	var keys Keys
	total := 0
	for _, name := range slices.Sorted(maps.Keys(data)) {
		content := data[name]
		if total += len(content); total > maxKeys {
			return Keys{}, fmt.Errorf("the keys are larger than %d MiB", maxKeys>>20)
		}
		var err error
		if strings.HasSuffix(name, ".sshpub") {
			var found []sshKey
			found, err = parseSSHKeys(string(content))
			keys.ssh = append(keys.ssh, found...)
		} else {
			var found openpgp.EntityList
			found, err = parseOpenPGPKeys(content)
			keys.openPGP = append(keys.openPGP, found...)
		}
		if err != nil {
			return Keys{}, fmt.Errorf("key %s: %w", name, err)
		}
	}
	if len(keys.openPGP)+len(keys.ssh) == 0 {
		return Keys{}, errors.New("there are no public keys in it: entries end in .asc for OpenPGP and in .sshpub for SSH")
	}
	return keys, nil
}

// parseOpenPGPKeys reads armored blocks, of which a file may hold several.
func parseOpenPGPKeys(content []byte) (openpgp.EntityList, error) {
	const begin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	parts := strings.Split(string(content), begin)
	if len(parts) < 2 {
		return nil, errors.New("it holds no armored OpenPGP public key")
	}
	var found openpgp.EntityList
	for _, part := range parts[1:] {
		listed, err := openpgp.ReadArmoredKeyRing(bytes.NewReader([]byte(begin + part)))
		if err != nil {
			return nil, fmt.Errorf("reading an OpenPGP public key: %w", err)
		}
		found = append(found, listed...)
	}
	return found, nil
}

func parseSSHKeys(content string) ([]sshKey, error) {
	var found []sshKey
	for i, line := range strings.Split(content, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, trusted, err := parseSSHKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if trusted {
			found = append(found, key)
		}
	}
	return found, nil
}

// parseSSHKey reads a line: what comes before the type of the key is principals and options. A key whose
// options keep it from signing commits is not trusted.
func parseSSHKey(line string) (key sshKey, trusted bool, err error) {
	fields := words(line)
	at := slices.IndexFunc(fields, isKeyType)
	if at < 0 || at+1 >= len(fields) || at > 2 {
		return sshKey{}, false, errors.New("it is no public key of SSH")
	}
	key.key, _, _, _, err = ssh.ParseAuthorizedKey([]byte(fields[at] + " " + fields[at+1]))
	if err != nil || key.key.Type() != fields[at] {
		return sshKey{}, false, errors.New("it is no public key of SSH")
	}
	key.who = strings.Join(fields[at+2:], " ")
	trusted = true
	for i, field := range fields[:at] {
		if i == 0 && at == 2 || !isOption(field) {
			key.who = strings.Trim(field, `"`)
			continue
		}
		for _, option := range options(field) {
			allows, err := key.option(option)
			if err != nil {
				return sshKey{}, false, err
			}
			trusted = trusted && allows
		}
	}
	return key, trusted, nil
}

// option applies one option; allows tells whether the key may sign commits with it.
func (k *sshKey) option(text string) (allows bool, err error) {
	name, value, _ := strings.Cut(text, "=")
	value = strings.Trim(value, `"`)
	switch strings.ToLower(name) {
	case "cert-authority":
		return false, errors.New("keys that certify others (cert-authority) are not supported")
	case "namespaces":
		return slices.ContainsFunc(strings.Split(value, ","), func(one string) bool { return one == namespace || one == "*" }), nil
	case "valid-after":
		k.after, err = parseTime(value)
	case "valid-before", "expiry-time":
		k.before, err = parseTime(value)
	}
	return true, err
}

// parseTime reads the times of OpenSSH. They are local there; a server's local time is UTC.
func parseTime(text string) (time.Time, error) {
	bare := strings.TrimSuffix(text, "Z")
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(bare) == len(layout) {
			if parsed, err := time.Parse(layout, bare); err == nil {
				return parsed, nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time of OpenSSH", text)
}

func isKeyType(field string) bool {
	return slices.Contains([]string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoRSA, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
	}, field)
}

// isOption tells an option from a principal.
func isOption(field string) bool {
	name, _, hasValue := strings.Cut(field, "=")
	return hasValue || slices.Contains([]string{"cert-authority", "restrict", "no-pty", "no-port-forwarding", "no-agent-forwarding", "no-x11-forwarding", "no-user-rc"}, strings.ToLower(strings.Split(name, ",")[0]))
}

// words splits a line at blanks that are not in quotes.
func words(line string) []string {
	return slices.DeleteFunc(divide(line, " \t"), func(word string) bool { return word == "" })
}

// options splits at commas that are not in quotes.
func options(field string) []string { return divide(field, ",") }

func divide(text, at string) []string {
	var parts []string
	quoted, start := false, 0
	for i := 0; i <= len(text); i++ {
		if i < len(text) && text[i] == '"' {
			quoted = !quoted
		}
		if i < len(text) && (quoted || !strings.ContainsRune(at, rune(text[i]))) {
			continue
		}
		parts = append(parts, text[start:i])
		start = i + 1
	}
	return parts
}
