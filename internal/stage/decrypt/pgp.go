package decrypt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

// addPGP reads private keys of PGP.
func (k *Keyring) addPGP(value []byte) error {
	var list openpgp.EntityList
	var err error
	if bytes.Contains(value, []byte("-----BEGIN PGP")) {
		list, err = openpgp.ReadArmoredKeyRing(bytes.NewReader(value))
	} else {
		list, err = openpgp.ReadKeyRing(bytes.NewReader(value))
	}
	if err != nil || len(list) == 0 {
		return errors.New("it holds no PGP key: it is cut short, or no export of a private key")
	}
	for _, entity := range list {
		switch {
		case !holdsPrivate(entity):
			return errors.New("PGP key " + fingerprintOf(entity) + " is the public half: export the private one (gpg --export-secret-keys --armor)")
		case locked(entity):
			return errors.New("PGP key " + fingerprintOf(entity) + " has a passphrase, which nobody could enter: store one without")
		}
		k.pgp = append(k.pgp, entity)
	}
	return nil
}

func holdsPrivate(entity *openpgp.Entity) bool {
	if entity.PrivateKey != nil {
		return true
	}
	for _, sub := range entity.Subkeys {
		if sub.PrivateKey != nil {
			return true
		}
	}
	return false
}

func locked(entity *openpgp.Entity) bool {
	if entity.PrivateKey != nil && entity.PrivateKey.Encrypted {
		return true
	}
	for _, sub := range entity.Subkeys {
		if sub.PrivateKey != nil && sub.PrivateKey.Encrypted {
			return true
		}
	}
	return false
}

func fingerprintOf(entity *openpgp.Entity) string {
	return strings.ToUpper(hex.EncodeToString(entity.PrimaryKey.Fingerprint))
}

// hasPGP tells whether a fingerprint, of a key or a subkey, in full or the end of it, is at hand.
func (k *Keyring) hasPGP(fingerprint string) bool {
	fingerprint = strings.ToUpper(strings.ReplaceAll(fingerprint, " ", ""))
	const keyID = 16
	if len(fingerprint) < keyID {
		return false
	}
	for _, entity := range k.pgp {
		if strings.HasSuffix(fingerprintOf(entity), fingerprint) {
			return true
		}
		for _, sub := range entity.Subkeys {
			if strings.HasSuffix(strings.ToUpper(hex.EncodeToString(sub.PublicKey.Fingerprint)), fingerprint) {
				return true
			}
		}
	}
	return false
}

// openPGP opens a data key that was encrypted for a PGP key. There is no prompt, and so no passphrase.
func (k *Keyring) openPGP(fingerprint string, ciphertext []byte) ([]byte, error) {
	if len(k.pgp) == 0 {
		return nil, errNoKey
	}
	failed := errNoKey
	if k.hasPGP(fingerprint) {
		failed = errDataKey
	}
	block, err := armor.Decode(bytes.NewReader(ciphertext))
	if err != nil {
		return nil, errDataKey
	}
	message, err := openpgp.ReadMessage(block.Body, k.pgp, nil, nil)
	if err != nil || !message.IsEncrypted {
		return nil, failed
	}
	key, err := io.ReadAll(io.LimitReader(message.UnverifiedBody, maxDataKey))
	if err != nil {
		return nil, errDataKey
	}
	return key, nil
}
