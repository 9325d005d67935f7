package keyring

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"golang.org/x/crypto/ssh"

	"holdfast.dev/holdfast/internal/model/redact"
)

// Identity is a private age key, shown by its public half and by where it was found.
type Identity struct {
	Recipient string
	Place     string
	private   age.Identity
}

// Making says what key to make.
type Making struct {
	PostQuantum bool // withstands quantum computers, and has a long recipient
}

// New makes a key, and the text of a file that holds it, as age-keygen writes it.
func New(making Making) (recipient string, file redact.Bytes, err error) {
	var key fmt.Stringer
	if making.PostQuantum {
		made, err := age.GenerateHybridIdentity()
		if err != nil {
			return "", nil, fmt.Errorf("making an age key: %w", err)
		}
		key, recipient = made, made.Recipient().String()
	} else {
		made, err := age.GenerateX25519Identity()
		if err != nil {
			return "", nil, fmt.Errorf("making an age key: %w", err)
		}
		key, recipient = made, made.Recipient().String()
	}
	return recipient, fmt.Appendf(nil, "# public key: %s\n%s\n", recipient, key), nil
}

// Passphrase asks a person for the passphrase of a key. Nil means that nobody can be asked.
type Passphrase func(of string) ([]byte, error)

var errLocked = errors.New("it is protected by a passphrase, and there is no terminal to ask for it")

// parseIdentities reads the lines of an identity file. An error names the line, and never shows it.
func parseIdentities(place string, content []byte, ask Passphrase) ([]Identity, error) {
	content, err := unlock(place, content, ask)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(content, []byte("-----BEGIN ")) {
		identity, err := parseSSH(place, content, nil, ask)
		if err != nil {
			return nil, err
		}
		return []Identity{identity}, nil
	}
	var found []Identity
	for i, line := range strings.Split(string(content), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, word := range strings.Fields(line) {
			identity, err := parseIdentity(word)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			identity.Place = place
			found = append(found, identity)
		}
	}
	return found, nil
}

func parseIdentity(word string) (Identity, error) {
	unreadable := errors.New("it holds no age identity that can be read")
	switch {
	case strings.HasPrefix(word, "AGE-PLUGIN-"):
		return Identity{}, errPlugin
	case strings.HasPrefix(word, "AGE-SECRET-KEY-PQ-1"):
		key, err := age.ParseHybridIdentity(word)
		if err != nil {
			return Identity{}, unreadable
		}
		return Identity{Recipient: key.Recipient().String(), private: key}, nil
	case strings.HasPrefix(word, "AGE-SECRET-KEY-1"):
		key, err := age.ParseX25519Identity(word)
		if err != nil {
			return Identity{}, unreadable
		}
		return Identity{Recipient: key.Recipient().String(), private: key}, nil
	default:
		return Identity{}, unreadable
	}
}

// unlock decrypts an identity file that is itself encrypted with a passphrase.
func unlock(place string, content []byte, ask Passphrase) ([]byte, error) {
	var sealed io.Reader
	switch {
	case bytes.HasPrefix(content, []byte("age-encryption.org/")):
		sealed = bytes.NewReader(content)
	case bytes.HasPrefix(content, []byte(armor.Header)):
		sealed = armor.NewReader(bytes.NewReader(content))
	default:
		return content, nil
	}
	if ask == nil {
		return nil, errLocked
	}
	passphrase, err := ask(place)
	if err != nil {
		return nil, err
	}
	key, err := age.NewScryptIdentity(string(passphrase))
	if err != nil {
		return nil, fmt.Errorf("using the passphrase: %w", err)
	}
	opened, err := age.Decrypt(sealed, key)
	if err != nil {
		return nil, errors.New("the passphrase does not open it")
	}
	return io.ReadAll(io.LimitReader(opened, maxKeyFile))
}

// parseSSH reads a private key of SSH. public is the content of the file beside it, where there is one.
func parseSSH(place string, content, public []byte, ask Passphrase) (Identity, error) {
	var locked *ssh.PassphraseMissingError
	signer, err := ssh.ParsePrivateKey(content)
	switch {
	case errors.As(err, &locked):
		return lockedSSH(place, content, public, locked.PublicKey, ask)
	case err != nil:
		return Identity{}, errors.New("it is no private key of SSH that can be read")
	}
	private, err := agessh.ParseIdentity(content)
	if err != nil {
		return Identity{}, errors.New("age takes only keys of the types ssh-ed25519 and ssh-rsa")
	}
	return Identity{Recipient: authorized(signer.PublicKey()), Place: place, private: private}, nil
}

func lockedSSH(place string, content, public []byte, known ssh.PublicKey, ask Passphrase) (Identity, error) {
	if known == nil {
		var err error
		if known, _, _, _, err = ssh.ParseAuthorizedKey(public); err != nil {
			return Identity{}, errors.New("its public half is not beside it, in a file that ends in .pub")
		}
	}
	if crypto, ok := known.(ssh.CryptoPublicKey); ok {
		if key, isRSA := crypto.CryptoPublicKey().(*rsa.PublicKey); isRSA && key.Size() < 2048/8 {
			return Identity{}, errors.New("it is too short")
		}
	}
	private, err := agessh.NewEncryptedSSHIdentity(known, content, func() ([]byte, error) {
		if ask == nil {
			return nil, errLocked
		}
		return ask(place)
	})
	if err != nil {
		return Identity{}, errors.New("age takes only keys of the types ssh-ed25519 and ssh-rsa")
	}
	return Identity{Recipient: authorized(known), Place: place, private: private}, nil
}

func authorized(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}
