package decrypt_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/model/sealed"
	"holdfast.dev/holdfast/internal/stage/decrypt"
	"holdfast.dev/holdfast/internal/stage/decrypt/sopstest"
)

func TestMain(m *testing.M) {
	decrypt.Quiet()
	m.Run()
}

func ringOf(t testing.TB, data map[string]string) *decrypt.Keyring {
	t.Helper()
	raw := map[string][]byte{}
	for name, value := range data {
		raw[name] = []byte(value)
	}
	ring, err := decrypt.NewKeyring(decrypt.Keys{Origin: "Secret web/sops-keys", Data: raw}, decrypt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func open(ring *decrypt.Keyring, path, text string, format sealed.Format) (sealed.Plain, error) {
	return ring.Open(context.Background(), sealed.Box{Path: path, Data: []byte(text), In: format, Out: format})
}

// contents are what is encrypted in each format, with the canary that tests look for.
var contents = map[sealed.Format]string{
	sealed.YAML:   "apiVersion: v1\nkind: Secret\nmetadata:\n    name: token\nstringData:\n    token: canary-value\n    number: 42\n    list:\n        - one\n        - two\n",
	sealed.JSON:   "{\n\t\"token\": \"canary-value\",\n\t\"deep\": {\n\t\t\"number\": 42,\n\t\t\"yes\": true\n\t}\n}\n",
	sealed.Dotenv: "# a comment\ntoken=canary-value\nother=two words\n",
	sealed.INI:    "[section]\ntoken = canary-value\n",
	sealed.Binary: "canary-value\x00\x01 of no format\n",
}

// TestEveryFormatAndKey: what SOPS writes is read, with every kind of key that needs no service.
func TestEveryFormatAndKey(t *testing.T) {
	kinds := map[string]struct {
		name string
		key  sopstest.Key
	}{
		"Age":            {"a.agekey", sopstest.Age(t)},
		"AgePostQuantum": {"pq.agekey", sopstest.AgePostQuantum(t)},
		"SSHEd25519":     {"ssh.agekey", sopstest.SSH(t, "ed25519", "")},
		"SSHRSA":         {"rsa.agekey", sopstest.SSH(t, "rsa", "")},
		"PGP":            {"key.asc", sopstest.PGP(t)},
	}
	for name, kind := range kinds {
		for format, content := range contents {
			t.Run(name+"/"+string(format), func(t *testing.T) {
				text := sopstest.Encrypt(t, sopstest.File{Format: format, Plain: content, For: []sopstest.Key{kind.key}})
				if strings.Contains(text, "canary") {
					t.Fatal("the file is not encrypted")
				}
				in, whole := sealed.Sniff([]byte(text))
				if !whole {
					t.Fatalf("what SOPS writes is not recognised:\n%s", text)
				}
				ring := ringOf(t, map[string]string{kind.name: kind.key.Private})
				plain, err := ring.Open(context.Background(), sealed.Box{Path: "a", Data: []byte(text), In: in, Out: format})
				if err != nil {
					t.Fatal(err)
				}
				if got := string(plain.Data.Reveal()); got != content {
					t.Errorf("got\n%q, want\n%q", got, content)
				}
				if len(plain.Values) == 0 {
					t.Error("nobody knows which values to take out of messages")
				}
				if shown := fmt.Sprintf("%v %+v %#v", plain, plain, plain); strings.Contains(shown, "canary") {
					t.Error("what was decrypted can be printed")
				}
			})
		}
	}
}

// TestShares: a file may take keys of several groups.
func TestShares(t *testing.T) {
	a, b, c := sopstest.Age(t), sopstest.PGP(t), sopstest.Age(t)
	text := sopstest.Encrypt(t, sopstest.File{
		Format: sealed.Dotenv, Plain: "token=canary\n", Groups: [][]sopstest.Key{{a}, {b}, {c}}, Threshold: 2,
	})
	if _, err := open(ringOf(t, map[string]string{"a.agekey": a.Private, "b.asc": b.Private}), "x.env", text, sealed.Dotenv); err != nil {
		t.Errorf("two of three keys: %v", err)
	}
	_, err := open(ringOf(t, map[string]string{"a.agekey": a.Private}), "x.env", text, sealed.Dotenv)
	if err == nil || !strings.Contains(err.Error(), "in 3 groups, of which 2 must open") {
		t.Errorf("one of three keys: %v", err)
	}
}

// TestSeveralIdentities: one file of identities holds several, and there may be several files.
func TestSeveralIdentities(t *testing.T) {
	old, young, other := sopstest.Age(t), sopstest.Age(t), sopstest.AgePostQuantum(t)
	ring := ringOf(t, map[string]string{"a.agekey": old.Private + "\n" + young.Private, "b.agekey": other.Private})
	for _, key := range []sopstest.Key{old, young, other} {
		if _, err := open(ring, "a.yaml", sopstest.Secret(t, "a", "x", key), sealed.YAML); err != nil {
			t.Error(err)
		}
	}
}

// TestDiagnosis: whoever reads the sentence knows which file, for whom, what is at hand, and what to do.
func TestDiagnosis(t *testing.T) {
	key, other := sopstest.Age(t), sopstest.Age(t)
	text := sopstest.Secret(t, "token", "canary-value", key)
	line := func(prefix string) string {
		for _, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), prefix) {
				return line
			}
		}
		t.Fatalf("no line %s", prefix)
		return ""
	}
	good := map[string]string{"a.agekey": key.Private}
	cases := map[string]struct {
		why   string
		data  map[string]string
		text  string
		cause decrypt.Cause
		says  []string
	}{
		"WrongKey": {
			why: "both names are needed to see which one is wrong", data: map[string]string{"a.agekey": other.Private}, text: text,
			cause: decrypt.NoKey, says: []string{key.Recipient, other.Recipient, "Secret web/sops-keys", "sops updatekeys", ".agekey"},
		},
		"Empty":       {why: "a Secret without keys", data: map[string]string{}, text: text, cause: decrypt.NoKey, says: []string{key.Recipient, "has no key that is read"}},
		"Misnamed":    {why: "the commonest mistake", data: map[string]string{"age.key": key.Private}, text: text, cause: decrypt.NoKey, says: []string{`"age.key"`, `call it "age.agekey"`}},
		"MisnamedToo": {why: "whatever the name", data: map[string]string{"identity.txt": key.Private}, text: text, cause: decrypt.NoKey, says: []string{`call it "identity.agekey"`}},
		"Tampered": {
			why: "a field that is not encrypted was changed", data: good, text: strings.Replace(text, "name: token", "name: other", 1),
			cause: decrypt.Damaged, says: []string{"changed after it was encrypted", "MAC"},
		},
		"Moved": {
			why: "a value stands at another place than it was encrypted for", data: good, text: strings.Replace(text, "    token: ENC", "    other: ENC", 1),
			cause: decrypt.Damaged, says: []string{"stringData.other"},
		},
		"Plain": {
			why: "somebody added a value by hand", data: good, text: strings.Replace(text, "stringData:", "stringData:\n    more: canary-plain", 1),
			cause: decrypt.Damaged, says: []string{"stringData.more is not encrypted"},
		},
		"NoMAC":     {why: "without a MAC everything could be changed", data: good, text: strings.Replace(text, line("mac:"), "    mac: \"\"", 1), cause: decrypt.Damaged, says: []string{"MAC"}},
		"Truncated": {why: "half a file", data: good, text: text[:strings.Index(text, "lastmodified")], cause: decrypt.Damaged, says: []string{"cut short"}},
		"NoYAML":    {why: "no file at all", data: good, text: "a: [", cause: decrypt.Damaged, says: []string{"cut short"}},
		"BadKeyData": {
			why: "the key is there, but its part of the file is broken", data: good, text: breakArmor(text),
			cause: decrypt.Damaged, says: []string{"although that key is at hand"},
		},
		"TooLarge": {why: "a limit, as Flux has it", data: good, text: text + "# " + strings.Repeat("x", decrypt.MaxBytes), cause: decrypt.Damaged, says: []string{"more than the"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := open(ringOf(t, c.data), "apps/token.yaml", c.text, sealed.YAML)
			var told *decrypt.Error
			if !errors.As(err, &told) || told.Cause != c.cause {
				t.Fatalf("%s: %v", c.why, err)
			}
			for _, says := range append(c.says, "apps/token.yaml") {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%s: %q does not say %q", c.why, err, says)
				}
			}
			for _, secret := range []string{"canary", "AGE-SECRET-KEY", "\n"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%s: %q holds %q", c.why, err, secret)
				}
			}
		})
	}
}

// breakArmor changes a letter in the middle of the encrypted data key.
func breakArmor(text string) string {
	at := strings.Index(text, "-----BEGIN AGE ENCRYPTED FILE-----") + 150
	letter := "A"
	if text[at] == 'A' {
		letter = "B"
	}
	return text[:at] + letter + text[at+1:]
}

// TestUnreadableKeys: a key that cannot be read is said to be so, and is not shown.
func TestUnreadableKeys(t *testing.T) {
	age := sopstest.Age(t)
	identity := strings.Split(age.Private, "\n")[1]
	cases := map[string]struct{ why, name, value, says string }{
		"Short":        {"a copy that lost its end", "a.agekey", identity[:40], "line 1 is no age identity"},
		"Public":       {"the public half", "a.agekey", age.Recipient, "is a recipient"},
		"Plugin":       {"plugins are programs", "a.agekey", "AGE-PLUGIN-YUBIKEY-1QQQ", "plugin"},
		"Nothing":      {"a file of comments", "a.agekey", "# nothing\n", "holds no age identity"},
		"Passphrase":   {"nobody is there to type", "a.agekey", "-----BEGIN AGE ENCRYPTED FILE-----\nx", "passphrase"},
		"LockedSSH":    {"nobody is there to type", "a.agekey", sopstest.SSH(t, "ed25519", "hunter2").Private, "passphrase"},
		"BrokenPGP":    {"a copy that lost its end", "a.asc", sopstest.PGP(t).Private[:300], "no PGP key"},
		"AWS":          {"a field is missing", "sops.aws-kms", "aws_access_key_id: hunter2", "aws_secret_access_key"},
		"GCPProgram":   {"credentials that run a program", "sops.gcp-kms", `{"type":"external_account","credential_source":{"executable":{"command":"hunter2"}}}`, "external_account"},
		"AzureManaged": {"the identity of the machine is not the unit's", "sops.azure-kv", "clientId: hunter2", "tenantId"},
		"Large":        {"nobody has such a key", "a.agekey", strings.Repeat("#", 2<<20), "larger"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := decrypt.NewKeyring(decrypt.Keys{Origin: "Secret web/sops-keys", Data: map[string][]byte{c.name: []byte(c.value)}}, decrypt.Options{})
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.name) {
				t.Fatalf("%s: %v", c.why, err)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "AGE-SECRET-KEY-1") {
				t.Errorf("the key is shown: %v", err)
			}
		})
	}
}

// TestEnvironmentIsNotAsked: SOPS itself would find these keys, for everybody.
func TestEnvironmentIsNotAsked(t *testing.T) {
	key, other := sopstest.Age(t), sopstest.Age(t)
	t.Setenv("SOPS_AGE_KEY", strings.Split(key.Private, "\n")[1])
	t.Setenv("SOPS_AGE_KEY_CMD", "false")
	for _, data := range []map[string]string{{}, {"a.agekey": other.Private}} {
		if _, err := open(ringOf(t, data), "a.yaml", sopstest.Secret(t, "a", "x", key), sealed.YAML); err == nil {
			t.Error("a key of the process opened a file of a unit")
		}
	}
}

// TestSharedSecretHoldsAgeKeysOnly: credentials for services are never everybody's.
func TestSharedSecretHoldsAgeKeysOnly(t *testing.T) {
	age, pgp := sopstest.Age(t), sopstest.PGP(t)
	ring, err := decrypt.NewKeyring(decrypt.Keys{Origin: "the Secret", AgeOnly: true, Data: map[string][]byte{
		"a.agekey": []byte(age.Private), "b.asc": []byte(pgp.Private), "sops.vault-token": []byte("x"),
	}}, decrypt.Options{})
	if err != nil || len(ring.Recipients()) != 1 {
		t.Fatalf("recipients %v, error %v", ring.Recipients(), err)
	}
}

// TestIgnoreMAC is for those who come from Flux with files that were edited by hand.
func TestIgnoreMAC(t *testing.T) {
	key := sopstest.Age(t)
	text := strings.Replace(sopstest.Secret(t, "token", "x", key), "name: token", "name: other", 1)
	ring, err := decrypt.NewKeyring(decrypt.Keys{Data: map[string][]byte{"a.agekey": []byte(key.Private)}}, decrypt.Options{IgnoreMAC: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(ring, "a.yaml", text, sealed.YAML); err != nil {
		t.Error(err)
	}
	if strict := ringOf(t, map[string]string{"a.agekey": key.Private}); strict.Keys() == ring.Keys() {
		t.Error("what is opened with the check and without has one name")
	}
}

// TestMACOnlyEncrypted: with this setting of SOPS, plain fields may be edited by hand.
func TestMACOnlyEncrypted(t *testing.T) {
	key := sopstest.Age(t)
	text := sopstest.Encrypt(t, sopstest.File{
		Format: sealed.YAML, Plain: contents[sealed.YAML], For: []sopstest.Key{key}, Regex: sopstest.Manifest, MACOnlyEncrypted: true,
	})
	ring := ringOf(t, map[string]string{"a.agekey": key.Private})
	if _, err := open(ring, "a.yaml", strings.Replace(text, "name: token", "name: other", 1), sealed.YAML); err != nil {
		t.Error(err)
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "- ENC") {
			lines[i], lines[i+1] = lines[i+1], lines[i]
			break
		}
	}
	if _, err := open(ring, "a.yaml", strings.Join(lines, "\n"), sealed.YAML); err == nil {
		t.Error("two values of a list changed places, and nobody noticed")
	}
}

// FuzzOpen: whatever is in a file, it opens or is refused, and what is refused shows nothing.
func FuzzOpen(f *testing.F) {
	key := sopstest.Age(f)
	ring := ringOf(f, map[string]string{"a.agekey": key.Private})
	formats := []sealed.Format{sealed.YAML, sealed.JSON, sealed.Dotenv, sealed.INI, sealed.Binary}
	for i, format := range formats {
		f.Add([]byte(sopstest.Encrypt(f, sopstest.File{Format: format, Plain: contents[format], For: []sopstest.Key{key}})), uint8(i), uint8(i))
	}
	f.Add([]byte("sops:\n  kms: [{arn: a, context: {a: null}}]\n  mac: x\n"), uint8(0), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, in, out uint8) {
		box := sealed.Box{Path: "x", Data: data, In: formats[int(in)%len(formats)], Out: formats[int(out)%len(formats)]}
		_, err := ring.Open(context.Background(), box)
		var told *decrypt.Error
		if err != nil && !errors.As(err, &told) {
			t.Errorf("an error of another kind: %v", err)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("a value is shown: %v", err)
		}
	})
}

// FuzzKeys: whatever is in a Secret, it is read or refused, and not shown.
func FuzzKeys(f *testing.F) {
	f.Add("a.agekey", []byte("AGE-SECRET-KEY-1QQQ"))
	f.Add("a.asc", []byte("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nxx\n"))
	f.Add("sops.azure-kv", []byte("tenantId: a\nclientId: b\nclientSecret: c\n"))
	f.Add("sops.gcp-kms", []byte(`{"type":"service_account","private_key":"x"}`))
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		_, err := decrypt.NewKeyring(decrypt.Keys{Origin: "S", Data: map[string][]byte{name: value}}, decrypt.Options{})
		if err != nil && len(value) > 40 && strings.Contains(err.Error(), string(value)) {
			t.Errorf("a key is shown: %v", err)
		}
	})
}
