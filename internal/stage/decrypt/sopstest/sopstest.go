package sopstest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/pgp"
	"github.com/getsops/sops/v3/shamir"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"
	"github.com/getsops/sops/v3/stores/json"
	"github.com/getsops/sops/v3/stores/yaml"
	"golang.org/x/crypto/ssh"

	"holdfast.dev/holdfast/internal/model/sealed"
)

// Key is a key that files can be encrypted for.
type Key struct {
	// Recipient is the public name of the key.
	Recipient string
	// Private is what a Secret holds of it.
	Private string
	// Master is how SOPS encrypts for it.
	Master func() keys.MasterKey
}

func ageKey(t testing.TB, recipient, private string) Key {
	return Key{Recipient: recipient, Private: private, Master: func() keys.MasterKey {
		key, err := sopsage.MasterKeyFromRecipient(recipient)
		check(t, err)
		return key
	}}
}

// Age makes an age key.
func Age(t testing.TB) Key {
	t.Helper()
	one, err := age.GenerateX25519Identity()
	check(t, err)
	return ageKey(t, one.Recipient().String(), "# created: today\n"+one.String()+"\n")
}

// AgePostQuantum makes an age key of the post-quantum kind.
func AgePostQuantum(t testing.TB) Key {
	t.Helper()
	one, err := age.GenerateHybridIdentity()
	check(t, err)
	return ageKey(t, one.Recipient().String(), one.String()+"\n")
}

// SSH makes an SSH key of type ed25519 or RSA. A passphrase locks it.
func SSH(t testing.TB, kind, passphrase string) Key {
	t.Helper()
	var private any
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	private = edwards
	if kind == "rsa" {
		private, err = rsa.GenerateKey(rand.Reader, 2048)
		check(t, err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	check(t, err)
	block, err := ssh.MarshalPrivateKey(private, "somebody@example.org")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "somebody@example.org", []byte(passphrase))
	}
	check(t, err)
	recipient := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	return ageKey(t, recipient, string(pem.EncodeToMemory(block)))
}

// PGP makes a PGP key.
func PGP(t testing.TB) Key {
	t.Helper()
	entity, err := openpgp.NewEntity("Somebody", "", "somebody@example.org", nil)
	check(t, err)
	var private strings.Builder
	writer, err := armor.Encode(&private, openpgp.PrivateKeyType, nil)
	check(t, err)
	check(t, entity.SerializePrivate(writer, nil))
	check(t, writer.Close())
	ring := filepath.Join(t.TempDir(), "pubring.gpg")
	file, err := os.Create(ring)
	check(t, err)
	check(t, entity.Serialize(file))
	check(t, file.Close())
	fingerprint := strings.ToUpper(hexOf(entity.PrimaryKey.Fingerprint))
	return Key{Recipient: fingerprint, Private: private.String(), Master: func() keys.MasterKey {
		key := pgp.NewMasterKeyFromFingerprint(fingerprint)
		pgp.PubRing(ring).ApplyToMasterKey(key)
		return key
	}}
}

func hexOf(raw []byte) string {
	const digits = "0123456789abcdef"
	var text strings.Builder
	for _, b := range raw {
		text.WriteByte(digits[b>>4])
		text.WriteByte(digits[b&15])
	}
	return text.String()
}

// File says what to encrypt, and how.
type File struct {
	Format sealed.Format
	Plain  string
	// For are the keys, any of which opens the file. Groups are more of them, of which Threshold must
	// open.
	For       []Key
	Groups    [][]Key
	Threshold int
	// Regex limits what is encrypted to the fields that match it, and MACOnlyEncrypted the check of
	// integrity along with it.
	Regex            string
	MACOnlyEncrypted bool
}

// Manifest is the setting that people have for Kubernetes objects.
const Manifest = "^(data|stringData)$"

type store interface {
	LoadPlainFile(in []byte) (sops.TreeBranches, error)
	EmitEncryptedFile(in sops.Tree) ([]byte, error)
}

// Encrypt encrypts a file as the sops command does.
func Encrypt(t testing.TB, file File) string {
	t.Helper()
	writer := map[sealed.Format]store{
		sealed.YAML: yaml.NewStore(&config.YAMLStoreConfig{}), sealed.JSON: json.NewStore(&config.JSONStoreConfig{Indent: -1}),
		sealed.Dotenv: dotenv.NewStore(&config.DotenvStoreConfig{}), sealed.INI: ini.NewStore(&config.INIStoreConfig{}),
		sealed.Binary: json.NewBinaryStore(&config.JSONBinaryStoreConfig{Indent: -1}),
	}[file.Format]
	branches, err := writer.LoadPlainFile([]byte(file.Plain))
	check(t, err)
	key := make([]byte, 32)
	_, err = rand.Read(key)
	check(t, err)
	tree := sops.Tree{Branches: branches, Metadata: sops.Metadata{
		KeyGroups: groupsOf(t, file, key), ShamirThreshold: file.Threshold, EncryptedRegex: file.Regex,
		MACOnlyEncrypted: file.MACOnlyEncrypted, Version: "3.13.3", LastModified: time.Now().UTC(),
	}}
	if file.Regex == "" {
		tree.Metadata.UnencryptedSuffix = sops.DefaultUnencryptedSuffix
	}
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(key, cipher)
	check(t, err)
	tree.Metadata.MessageAuthenticationCode, err = cipher.Encrypt(mac, key, tree.Metadata.LastModified.Format(time.RFC3339))
	check(t, err)
	out, err := writer.EmitEncryptedFile(tree)
	check(t, err)
	return string(out)
}

func groupsOf(t testing.TB, file File, dataKey []byte) []sops.KeyGroup {
	t.Helper()
	groups, parts := file.Groups, [][]byte{dataKey}
	if len(file.For) > 0 {
		groups = append([][]Key{file.For}, groups...)
	}
	if len(groups) > 1 {
		var err error
		parts, err = shamir.Split(dataKey, len(groups), file.Threshold)
		check(t, err)
	}
	var made []sops.KeyGroup
	for i, group := range groups {
		var masters sops.KeyGroup
		for _, one := range group {
			master := one.Master()
			check(t, master.Encrypt(parts[i]))
			masters = append(masters, master)
		}
		made = append(made, masters)
	}
	return made
}

// Secret encrypts a Secret with one value, as people keep it in a repository.
func Secret(t testing.TB, name, value string, keys ...Key) string {
	t.Helper()
	return Encrypt(t, File{
		Format: sealed.YAML, For: keys, Regex: Manifest,
		Plain: "apiVersion: v1\nkind: Secret\nmetadata:\n    name: " + name + "\nstringData:\n    token: " + value + "\n",
	})
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
