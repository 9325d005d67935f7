package keyring

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

// openPGP is GnuPG's classic key rings, as far as they can be used without the GnuPG program.
type openPGP struct {
	folder string // with pubring.gpg and secring.gpg; empty is none
	extra  openpgp.EntityList
}

func openPGPOf(env func(string) (string, bool), home string) openPGP {
	if folder, found := env("GNUPGHOME"); found && folder != "" {
		return openPGP{folder: folder}
	}
	if home == "" {
		return openPGP{}
	}
	return openPGP{folder: filepath.Join(home, ".gnupg")}
}

// addPrivate adds an armored private key without a passphrase.
func (o *openPGP) addPrivate(armored []byte) error {
	found, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(armored))
	if err != nil {
		return errors.New("it is no armored OpenPGP key that can be read")
	}
	o.extra = append(o.extra, found...)
	return nil
}

func (o openPGP) ring(name string) openpgp.EntityList {
	found := o.extra
	if o.folder == "" {
		return found
	}
	content, err := readBounded(filepath.Join(o.folder, name))
	if err != nil {
		return found
	}
	if listed, err := openpgp.ReadKeyRing(bytes.NewReader(content)); err == nil {
		found = append(found[:len(found):len(found)], listed...)
	}
	return found
}

// encrypt encrypts a data key to the key with this fingerprint, if its public half is at hand.
func (o openPGP) encrypt(fingerprint string, dataKey []byte) ([]byte, error) {
	for _, entity := range o.ring("pubring.gpg") {
		if !hasFingerprint(entity, fingerprint) {
			continue
		}
		var out bytes.Buffer
		armored, err := armor.Encode(&out, "PGP MESSAGE", nil)
		if err != nil {
			return nil, fmt.Errorf("encrypting to OpenPGP key %s: %w", fingerprint, err)
		}
		writer, err := openpgp.Encrypt(armored, openpgp.EntityList{entity}, nil, &openpgp.FileHints{IsBinary: true}, nil)
		if err == nil {
			_, err = writer.Write(dataKey)
			err = errors.Join(err, writer.Close(), armored.Close())
		}
		if err != nil {
			return nil, fmt.Errorf("encrypting to OpenPGP key %s: %w", fingerprint, err)
		}
		return out.Bytes(), nil
	}
	return nil, fmt.Errorf("encrypting to OpenPGP key %s: it is not in pubring.gpg, and holdfast starts no gpg: "+
		"add it there with gpg --export, or use the sops program for this file", fingerprint)
}

// decrypt opens a data key with private keys that need no passphrase.
func (o openPGP) decrypt(fingerprint string, sealed []byte) ([]byte, error) {
	private := o.ring("secring.gpg")
	if len(private) == 0 {
		return nil, fmt.Errorf("opening with OpenPGP key %s: it is not at hand", fingerprint)
	}
	block, err := armor.Decode(bytes.NewReader(sealed))
	if err != nil {
		return nil, fmt.Errorf("opening with OpenPGP key %s: the message is malformed", fingerprint)
	}
	message, err := openpgp.ReadMessage(block.Body, private, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("opening with OpenPGP key %s: no key at hand fits, or it needs a passphrase", fingerprint)
	}
	const longest = 1 << 16
	return io.ReadAll(io.LimitReader(message.UnverifiedBody, longest))
}

func hasFingerprint(entity *openpgp.Entity, fingerprint string) bool {
	wanted := strings.ToLower(strings.ReplaceAll(fingerprint, " ", ""))
	if len(wanted) < 16 { // a shorter name is not a key's alone
		return false
	}
	if strings.HasSuffix(hex.EncodeToString(entity.PrimaryKey.Fingerprint), wanted) {
		return true
	}
	for _, sub := range entity.Subkeys {
		if strings.HasSuffix(hex.EncodeToString(sub.PublicKey.Fingerprint), wanted) {
			return true
		}
	}
	return false
}
