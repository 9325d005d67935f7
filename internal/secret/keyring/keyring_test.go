package keyring_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getsops/sops/v3/keyservice"
	"golang.org/x/crypto/ssh"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/secret/keyring"
)

func made(t *testing.T) (recipient string, file redact.Bytes) {
	t.Helper()
	recipient, file, err := keyring.New(keyring.Making{})
	if err != nil {
		t.Fatal(err)
	}
	return recipient, file
}

func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// opens seals a data key to a recipient, and lets a ring open it.
func opens(t *testing.T, ring *keyring.Ring, recipient string) bool {
	t.Helper()
	key := &keyservice.Key{KeyType: &keyservice.Key_AgeKey{AgeKey: &keyservice.AgeKey{Recipient: recipient}}}
	sealed, err := (&keyring.Ring{}).Service(false).Encrypt(t.Context(), &keyservice.EncryptRequest{Key: key, Plaintext: []byte("data key")})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := ring.Service(false).Decrypt(t.Context(), &keyservice.DecryptRequest{Key: key, Ciphertext: sealed.Ciphertext})
	return err == nil && string(opened.Plaintext) == "data key"
}

func TestPlaces(t *testing.T) {
	home, config := t.TempDir(), t.TempDir()
	inEnv, envKey := made(t)
	inFile, fileKey := made(t)
	inConfig, configKey := made(t)
	ours, ourKey := made(t)
	named, namedKey := made(t)
	write(t, filepath.Join(config, "sops", "age", "keys.txt"), configKey.Reveal())
	write(t, filepath.Join(config, "holdfast", "keys", "prod.agekey"), ourKey.Reveal())
	env := map[string]string{
		"SOPS_AGE_KEY": string(envKey.Reveal()), "SOPS_AGE_KEY_FILE": write(t, filepath.Join(home, "keys"), fileKey.Reveal()),
		"SOPS_AGE_KEY_CMD": "touch " + filepath.Join(home, "ran"),
	}
	ring, err := keyring.Load(keyring.Options{
		Env: func(name string) (string, bool) { value, found := env[name]; return value, found }, Home: home, Config: config,
		Files: []string{write(t, filepath.Join(home, "named"), namedKey.Reveal())},
	})
	if err != nil {
		t.Fatal(err)
	}
	for where, recipient := range map[string]string{"named": named, "variable": inEnv, "file": inFile, "settings": inConfig, "our folder": ours} {
		if _, found := ring.Holds(recipient); !found || !opens(t, ring, recipient) {
			t.Errorf("the key from the %s is not used", where)
		}
	}
	if _, err := os.Stat(filepath.Join(home, "ran")); err == nil {
		t.Error("a command was run to get a key")
	}
	told := fmt.Sprint(ring.Skipped())
	if !strings.Contains(told, "SOPS_AGE_KEY_CMD") || !strings.Contains(told, "id_ed25519 it is not there") {
		t.Errorf("what was passed over is not told: %s", told)
	}
	shown := fmt.Sprintf("%v %+v %#v", ring, ring.Identities(), ring.Identities()[0])
	if strings.Contains(shown, "AGE-SECRET-KEY") {
		t.Error("a private key is shown")
	}
	if opens(t, &keyring.Ring{}, named) {
		t.Error("a ring without keys finds some elsewhere")
	}
}

func TestNamedFilesMustHoldAKey(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"empty": "", "comment": "# nothing\n", "garbage": "AGE-SECRET-KEY-1XXX\n", "plugin": "AGE-PLUGIN-EVIL-1XXX\n", "words": "hello world\n",
	} {
		_, err := keyring.Load(keyring.Options{Files: []string{write(t, filepath.Join(dir, name), []byte(content))}})
		if err == nil || strings.Contains(err.Error(), "XXX") || strings.Contains(err.Error(), "hello") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := keyring.Load(keyring.Options{Files: []string{filepath.Join(dir, "missing")}}); err == nil {
		t.Error("a file that is not there is no error")
	}
}

func TestLockedSSHKey(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	recipient := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	name := write(t, filepath.Join(t.TempDir(), "id"), pem.EncodeToMemory(block))
	asked := 0
	for passphrase, want := range map[string]bool{"open sesame": true, "wrong": false} {
		ring, err := keyring.Load(keyring.Options{Files: []string{name}, Ask: func(string) ([]byte, error) { asked++; return []byte(passphrase), nil }})
		if err != nil {
			t.Fatal(err)
		}
		if asked != 0 {
			t.Error("the passphrase is asked for before the key is needed")
		}
		if got := opens(t, ring, recipient); got != want {
			t.Errorf("with %q it opens: %t", passphrase, got)
		}
		asked = 0
	}
	ring, err := keyring.Load(keyring.Options{Files: []string{name}})
	if err != nil || opens(t, ring, recipient) {
		t.Errorf("without anybody to ask: %v", err)
	}
}

func TestSecret(t *testing.T) {
	right, rightKey := made(t)
	wrong, wrongKey := made(t)
	ring := &keyring.Ring{}
	ring.AddSecret("Secret a/b", map[string]redact.Bytes{"age.agekey": rightKey, "age.key": wrongKey, "broken.agekey": redact.Bytes("x"), "c.asc": redact.Bytes("x")})
	if _, found := ring.Holds(right); !found {
		t.Error("the entry that ends in .agekey is not used")
	}
	if _, found := ring.Holds(wrong); found {
		t.Error("the entry age.key counts here, and would not in a cluster")
	}
	told := fmt.Sprint(ring.Skipped())
	for _, entry := range []string{"age.key", "broken.agekey", "c.asc"} {
		if !strings.Contains(told, "entry "+entry) {
			t.Errorf("that %s was passed over is not told: %s", entry, told)
		}
	}
}

func TestParseRecipient(t *testing.T) {
	for text, want := range map[string]bool{
		"age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t": false, // a plugin's
		"age1xxx": false, "ssh-dss AAAA": false, "": false, "-----": false,
	} {
		if _, err := keyring.ParseRecipient(text); (err == nil) != want {
			t.Errorf("%q: got %v", text, err)
		}
	}
	if !keyring.Same("ssh-ed25519 AAAA anne", "ssh-ed25519  AAAA") || keyring.Same("ssh-ed25519 AAAA", "ssh-ed25519 BBBB") {
		t.Error("comments are no part of a key")
	}
}
