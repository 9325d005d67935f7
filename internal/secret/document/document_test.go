package document_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/decrypt"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"holdfast.dev/holdfast/internal/secret/document"
	"holdfast.dev/holdfast/internal/secret/keyring"
)

// key makes a key, and a ring that holds it.
func key(t testing.TB, postQuantum bool) (recipient, file string, ring *keyring.Ring) {
	t.Helper()
	recipient, text, err := keyring.New(keyring.Making{PostQuantum: postQuantum})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "key.agekey")
	if err := os.WriteFile(file, text.Reveal(), 0o600); err != nil {
		t.Fatal(err)
	}
	ring, err = keyring.Load(keyring.Options{Files: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	return recipient, file, ring
}

// sshKey makes a key of SSH in a file.
func sshKey(t testing.TB) (recipient, file string, ring *keyring.Ring) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "id_ed25519")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	authorized, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	ring, err = keyring.Load(keyring.Options{Files: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(authorized))), file, ring
}

func ruleFor(t testing.TB, recipients ...string) document.Rule {
	t.Helper()
	var group sops.KeyGroup
	for _, one := range recipients {
		key, err := age.MasterKeyFromRecipient(one)
		if err != nil {
			t.Fatal(err)
		}
		group = append(group, key)
	}
	return document.Rule{Groups: []sops.KeyGroup{group}}
}

func seal(t testing.TB, name, content string, rule document.Rule) []byte {
	t.Helper()
	opened, err := document.Plain(name, []byte(content), rule)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := opened.Seal(context.Background(), &keyring.Ring{})
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func open(t testing.TB, name string, content []byte, ring *keyring.Ring) *document.Opened {
	t.Helper()
	sealed, err := document.Read(name, content, nil)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := sealed.Open(context.Background(), ring, false)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

var examples = map[string]string{
	"secret.yaml": "# kept\napiVersion: v1\nkind: Secret\nmetadata:\n    name: db\nstringData:\n    # kept too\n    zeta: last\n    alpha: first\n---\napiVersion: v1\nkind: Secret\nmetadata:\n    name: second\nstringData:\n    a: b\n",
	"values.json": "{\n\t\"b\": \"written in plain words\",\n\t\"a\": [\n\t\t1,\n\t\ttrue,\n\t\t\"x\"\n\t]\n}\n",
	"app.env":     "# kept\nB=written in plain words\nA=one\n",
	"app.ini":     "[section]\n; kept\nb = written in plain words\na = one\n",
	"tls.key":     "any bytes\x00\x01\n",
}

// TestRoundTrips: what we seal, the library of sops opens, in every format; and what comes out is what
// went in, comments and order included.
func TestRoundTrips(t *testing.T) {
	classic, classicFile, classicRing := key(t, false)
	quantum, quantumFile, quantumRing := key(t, true)
	shell, shellFile, shellRing := sshKey(t)
	for _, c := range []struct {
		recipient, variable, file string
		ring                      *keyring.Ring
	}{
		{classic, "SOPS_AGE_KEY_FILE", classicFile, classicRing},
		{quantum, "SOPS_AGE_KEY_FILE", quantumFile, quantumRing},
		{shell, "SOPS_AGE_SSH_PRIVATE_KEY_FILE", shellFile, shellRing},
	} {
		for name, content := range examples {
			t.Run(c.recipient[:8]+"/"+name, func(t *testing.T) {
				t.Setenv("HOME", t.TempDir())
				t.Setenv(c.variable, c.file)
				sealed := seal(t, name, content, ruleFor(t, c.recipient))
				for _, word := range []string{"plain words", "alpha: first", "any bytes"} {
					if bytes.Contains(sealed, []byte(word)) {
						t.Errorf("%q is readable in\n%s", word, sealed)
					}
				}
				theirs, err := decrypt.Data(sealed, string(document.FormatOf(name)))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(content, string(theirs)); diff != "" {
					t.Errorf("as sops opens it (-want +got):\n%s", diff)
				}
				ours, err := open(t, name, sealed, c.ring).Plain()
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(content, string(ours)); diff != "" {
					t.Errorf("as we open it (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestSetLeavesTheRest: a change of one value changes the lines of that value and of the MAC.
func TestSetLeavesTheRest(t *testing.T) {
	recipient, _, ring := key(t, false)
	rule := ruleFor(t, recipient)
	rule.EncryptedRegex = "^(data|stringData)$"
	before := seal(t, "secret.yaml", examples["secret.yaml"], rule)
	opened := open(t, "secret.yaml", before, ring)
	path, err := document.ParsePath("stringData.zeta")
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := opened.Set(0, path, "newest"); err != nil || !changed {
		t.Fatalf("got %t and %v", changed, err)
	}
	after, err := opened.Seal(t.Context(), ring)
	if err != nil {
		t.Fatal(err)
	}
	was, is := strings.Split(string(before), "\n"), strings.Split(string(after), "\n")
	if len(was) != len(is) {
		t.Fatalf("got %d lines, want %d", len(is), len(was))
	}
	var differ []string
	for i := range was {
		if was[i] != is[i] {
			differ = append(differ, strings.TrimSpace(strings.SplitN(is[i], ":", 2)[0]))
		}
	}
	for _, name := range differ {
		if name != "zeta" && name != "mac" && name != "lastmodified" {
			t.Errorf("line %q changed", name)
		}
	}
	if plain, _ := open(t, "secret.yaml", after, ring).Plain(); !strings.Contains(string(plain), "zeta: newest") {
		t.Errorf("got %s", plain)
	}
}

func TestRefusals(t *testing.T) {
	recipient, _, ring := key(t, false)
	_, _, stranger := key(t, false)
	rule := ruleFor(t, recipient)
	sealed := seal(t, "secret.yaml", "list:\n    - one\n    - two\nplain_unencrypted: x\n", rule)
	swapped := bytes.Split(sealed, []byte("\n"))
	swapped[1], swapped[2] = swapped[2], swapped[1]
	matchNothing := rule
	matchNothing.EncryptedRegex = "^(data|stringData)$"
	cases := map[string]struct {
		why  string
		act  func() error
		want error
	}{
		"Plain": {"a plain file is told apart", func() error {
			_, err := document.Read("a.yaml", []byte("a: b\n"), nil)
			return err
		}, document.ErrPlain},
		"Again": {"nothing is encrypted twice", func() error {
			_, err := document.Plain("secret.yaml", sealed, rule)
			return err
		}, document.ErrEncrypted},
		"Swapped": {"the MAC finds what the values' own keys do not", func() error {
			read, err := document.Read("secret.yaml", bytes.Join(swapped, []byte("\n")), nil)
			if err == nil {
				_, err = read.Open(t.Context(), ring, false)
			}
			return err
		}, document.ErrTampered},
		"PlainChanged": {"and a change of what is not encrypted", func() error {
			read, err := document.Read("secret.yaml", bytes.Replace(sealed, []byte("plain_unencrypted: x"), []byte("plain_unencrypted: y"), 1), nil)
			if err == nil {
				_, err = read.Open(t.Context(), ring, false)
			}
			return err
		}, document.ErrTampered},
		"Unmatched": {"a rule that leaves all in plain text is a mistake", func() error {
			opened, err := document.Plain("values.yaml", []byte("password: x\n"), matchNothing)
			if err == nil {
				_, err = opened.Seal(t.Context(), ring)
			}
			return err
		}, document.ErrUnmatched},
		"NoRecipient": {"a file for nobody is lost", func() error {
			opened, err := document.Plain("values.yaml", []byte("password: x\n"), document.Rule{})
			if err == nil {
				_, err = opened.Seal(t.Context(), ring)
			}
			return err
		}, document.ErrNoKeys},
		"Empty": {"nothing is no document", func() error {
			_, err := document.Plain("values.yaml", nil, rule)
			return err
		}, document.ErrEmpty},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if err := c.act(); !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", c.why, err, c.want)
			}
		})
	}
	read, err := document.Read("secret.yaml", sealed, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = read.Open(t.Context(), stranger, false)
	var missing *document.KeyError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), recipient) {
		t.Errorf("got %v, want who could open it", err)
	}
	if read.Opens(stranger) || !read.Opens(ring) || read.Opens(&keyring.Ring{}) {
		t.Error("who can open a file is told wrongly")
	}
}

func TestRekey(t *testing.T) {
	old, _, oldRing := key(t, false)
	fresh, _, freshRing := key(t, true)
	sealed := seal(t, "secret.yaml", examples["secret.yaml"], ruleFor(t, old))
	opened := open(t, "secret.yaml", sealed, oldRing)
	opened.Rekey(ruleFor(t, fresh))
	again, err := opened.Seal(t.Context(), oldRing)
	if err != nil {
		t.Fatal(err)
	}
	read, err := document.Read("secret.yaml", again, nil)
	if err != nil {
		t.Fatal(err)
	}
	if read.Opens(oldRing) || !read.Opens(freshRing) {
		t.Error("the file has not changed hands")
	}
	plain, err := open(t, "secret.yaml", again, freshRing).Plain()
	if diff := cmp.Diff(examples["secret.yaml"], string(plain)); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
