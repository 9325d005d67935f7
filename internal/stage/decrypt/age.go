package decrypt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"golang.org/x/crypto/ssh"
)

// opener is a key of age with its public name.
type opener struct {
	age.Identity
	recipient string
}

// addAge reads a file of age identities, or a private key of SSH.
func (k *Keyring) addAge(value []byte) error {
	text := string(value)
	switch {
	case strings.Contains(text, "PRIVATE KEY-----"):
		one, err := sshIdentity(value)
		if err != nil {
			return err
		}
		k.age = append(k.age, one)
		return nil
	case strings.Contains(text, "BEGIN AGE ENCRYPTED FILE"), strings.HasPrefix(text, "age-encryption.org/"):
		return errors.New("it is encrypted with a passphrase, which nobody could enter: store the identity as it is")
	}
	found := 0
	for number, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		one, err := ageIdentity(line)
		if err != nil {
			return fmt.Errorf("line %d %w", number+1, err)
		}
		k.age = append(k.age, one)
		found++
	}
	if found == 0 {
		return errors.New("it holds no age identity")
	}
	return nil
}

// ageIdentity reads one identity. Errors of the parser could quote it.
func ageIdentity(line string) (opener, error) {
	switch {
	case strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-1"):
		if one, err := age.ParseHybridIdentity(line); err == nil {
			return opener{one, one.Recipient().String()}, nil
		}
	case strings.HasPrefix(line, "AGE-SECRET-KEY-1"):
		if one, err := age.ParseX25519Identity(line); err == nil {
			return opener{one, one.Recipient().String()}, nil
		}
	case strings.HasPrefix(line, "AGE-PLUGIN-"):
		return opener{}, errors.New("wants a plugin, which would be a process: plugins are never run")
	case strings.HasPrefix(line, "age1"):
		return opener{}, errors.New("is a recipient, the public half: the identity begins with AGE-SECRET-KEY-")
	}
	return opener{}, errors.New("is no age identity: it is cut short or mistyped")
}

func sshIdentity(pem []byte) (opener, error) {
	one, err := agessh.ParseIdentity(pem)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return opener{}, errors.New("the SSH key has a passphrase, which nobody could enter: store one without")
	case err != nil:
		return opener{}, errors.New("it is no SSH key that age can use: it takes ed25519 and RSA")
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return opener{}, errors.New("it is no SSH key that age can use: it takes ed25519 and RSA")
	}
	return opener{one, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))}, nil
}

// sameRecipient compares public names; those of SSH keys may have a comment.
func sameRecipient(a, b string) bool {
	first, second := strings.Fields(a), strings.Fields(b)
	if len(first) > 1 && len(second) > 1 {
		return first[0] == second[0] && first[1] == second[1]
	}
	return a == b
}

func (k *Keyring) hasAge(recipient string) bool {
	for _, one := range k.age {
		if sameRecipient(one.recipient, recipient) {
			return true
		}
	}
	return false
}

// maxDataKey bounds what an encrypted data key may grow to; SOPS's have 32 bytes, or a little more
// where they are shared.
const maxDataKey = 1 << 10

// openAge opens a data key that was encrypted for a recipient of age.
func (k *Keyring) openAge(recipient string, ciphertext []byte) ([]byte, error) {
	if len(k.age) == 0 {
		return nil, errNoKey
	}
	identities := make([]age.Identity, len(k.age))
	for i, one := range k.age {
		identities[i] = one.Identity
	}
	reader, err := age.Decrypt(armor.NewReader(bytes.NewReader(ciphertext)), identities...)
	var none *age.NoIdentityMatchError
	switch {
	case err == nil:
	case errors.As(err, &none) && !k.hasAge(recipient):
		return nil, errNoKey
	default:
		return nil, errDataKey
	}
	key, err := io.ReadAll(io.LimitReader(reader, maxDataKey))
	if err != nil {
		return nil, errDataKey
	}
	return key, nil
}
