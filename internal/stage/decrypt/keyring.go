package decrypt

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"

	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/stage/decrypt/kms"
)

// The names of keys in a Secret, as Flux knows them (flux-contract 2.8).
const (
	suffixAge  = ".agekey"
	suffixPGP  = ".asc"
	vaultToken = "sops.vault-token" //nolint:gosec // the name of a key in a Secret
	awsFile    = "sops.aws-kms"
	azureFile  = "sops.azure-kv"
	gcpFile    = "sops.gcp-kms"
)

// Keys is what a Keyring is made of.
type Keys struct {
	// Origin says where the keys came from, for messages: "Secret web/sops-keys". It is empty where
	// nobody named any.
	Origin string
	// Data are the keys by their names. Names decide what a key is.
	Data map[string][]byte
	// AgeOnly leaves all keys but those for age out, as of a Secret that serves all units.
	AgeOnly bool
	// Holder is whose identity key services are asked with where there are no keys for them.
	Holder identity.Holder
	// Vaults are the login paths of the Vaults that an identity may log in to, by address.
	Vaults map[string]string
}

// Options are what an operator decides for all units. The zero value is the right default.
type Options struct {
	// IgnoreMAC opens what was changed since SOPS wrote it, as Flux does.
	IgnoreMAC bool
	// Reach says which key services may be asked.
	Reach kms.Reach
}

// Keyring holds the keys of one unit. It is immutable and safe for concurrent use.
type Keyring struct {
	origin   string
	options  Options
	digest   string
	age      []opener
	pgp      openpgp.EntityList
	services kms.Credentials
	misnamed []string // what is wrong with keys that are not read, one clause each
}

// maxKey bounds a key: the largest ones are keyrings of PGP.
const maxKey = 1 << 20

// NewKeyring reads the keys of a unit. An error names the key that cannot be read, never its content.
func NewKeyring(keys Keys, options Options) (*Keyring, error) {
	ring := &Keyring{origin: keys.Origin, options: options, digest: digestOf(keys, options)}
	ring.services.SetIdentity(keys.Holder)
	ring.services.SetVaults(keys.Vaults)
	for _, name := range slices.Sorted(maps.Keys(keys.Data)) {
		value := keys.Data[name]
		err := errors.New("it is larger than any key")
		if len(value) <= maxKey {
			err = ring.add(name, value, keys.AgeOnly)
		}
		if err != nil {
			return nil, fmt.Errorf("reading key %q of %s: %w", name, keys.Origin, err)
		}
	}
	return ring, nil
}

func (k *Keyring) add(name string, value []byte, ageOnly bool) error {
	switch {
	case path.Ext(name) == suffixAge:
		return k.addAge(value)
	case ageOnly:
		k.misname(name, value)
		return nil
	case path.Ext(name) == suffixPGP:
		return k.addPGP(value)
	case name == vaultToken:
		k.services.SetVaultToken(value)
		return nil
	case name == awsFile:
		return k.services.SetAWS(value)
	case name == azureFile:
		return k.services.SetAzure(value)
	case name == gcpFile:
		return k.services.SetGCP(value)
	default:
		k.misname(name, value)
		return nil
	}
}

// misname takes note of a key that is not read, where it looks as if it should have been.
func (k *Keyring) misname(name string, value []byte) {
	text, wanted := string(value), ""
	switch {
	case strings.Contains(text, "AGE-SECRET-KEY-"), strings.Contains(text, "BEGIN OPENSSH PRIVATE KEY"), strings.Contains(text, "BEGIN RSA PRIVATE KEY"):
		wanted = strings.TrimSuffix(name, path.Ext(name)) + suffixAge
	case strings.Contains(text, "BEGIN PGP PRIVATE KEY"):
		wanted = strings.TrimSuffix(name, path.Ext(name)) + suffixPGP
	default:
		for _, known := range []string{vaultToken, awsFile, azureFile, gcpFile} {
			if squeezed(name) == squeezed(known) || squeezed(name) == squeezed(strings.TrimPrefix(known, "sops.")) {
				wanted = known
			}
		}
	}
	if wanted != "" {
		k.misnamed = append(k.misnamed, fmt.Sprintf("its key %q looks like one but is not read under this name: call it %q", name, wanted))
	}
}

// squeezed is what is left of a name when people disagree about punctuation.
func squeezed(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("._-", r) {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// Keys identifies the keys: two rings with the same open the same. It tells nothing of them.
func (k *Keyring) Keys() string { return k.digest }

// Empty tells whether there is no key at all.
func (k *Keyring) Empty() bool { return len(k.age)+len(k.pgp) == 0 && k.services.Empty() }

// Recipients returns the public names of the keys, for messages.
func (k *Keyring) Recipients() []string {
	names := make([]string, 0, len(k.age)+len(k.pgp))
	for _, one := range k.age {
		names = append(names, one.recipient)
	}
	for _, entity := range k.pgp {
		names = append(names, "PGP "+fingerprintOf(entity))
	}
	return append(names, k.services.Names()...)
}

func digestOf(keys Keys, options Options) string {
	sum := sha256.New()
	write := func(parts ...string) {
		for _, part := range parts {
			_, _ = fmt.Fprintf(sum, "%d:", len(part))
			_, _ = io.WriteString(sum, part)
		}
	}
	account := keys.Holder.Account()
	write(keys.Origin, account.Namespace, account.Name, fmt.Sprint(keys.Holder.Known()), fmt.Sprint(keys.AgeOnly, options.IgnoreMAC), options.Reach.String())
	for _, address := range slices.Sorted(maps.Keys(keys.Vaults)) {
		write(address, keys.Vaults[address])
	}
	write("")
	for _, name := range slices.Sorted(maps.Keys(keys.Data)) {
		write(name, string(keys.Data[name]))
	}
	return hex.EncodeToString(sum.Sum(nil))
}
