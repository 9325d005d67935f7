package verify_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/crypto/ssh"

	"holdfast.dev/holdfast/internal/stage/source/git/verify"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func at(when time.Time) *packet.Config {
	return &packet.Config{Time: func() time.Time { return when }, Algorithm: packet.PubKeyAlgoEdDSA}
}

// person signs with OpenPGP.
type person struct {
	entity *openpgp.Entity
}

func newPerson(t testing.TB, lifetime time.Duration) person {
	t.Helper()
	config := at(now.Add(-48 * time.Hour))
	config.KeyLifetimeSecs = uint32(lifetime.Seconds())
	entity, err := openpgp.NewEntity("Anne", "", "anne@example.org", config)
	if err != nil {
		t.Fatal(err)
	}
	return person{entity: entity}
}

func (p person) sign(t testing.TB, payload string) string {
	t.Helper()
	var out bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&out, p.entity, strings.NewReader(payload), at(now.Add(-24*time.Hour))); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func (p person) public(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	writer, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
	if err == nil {
		err = errors.Join(p.entity.Serialize(writer), writer.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// shell signs with SSH.
type shell struct {
	signer ssh.Signer
}

func newShell(t testing.TB) shell {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return shell{signer: signer}
}

func (s shell) authorized() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.signer.PublicKey())))
}

func (s shell) sign(t testing.TB, payload, namespace string) string {
	t.Helper()
	digest := sha512.Sum512([]byte(payload))
	covered := append([]byte("SSHSIG"), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Digest                    []byte
	}{namespace, "", "sha512", digest[:]})...)
	signature, err := s.signer.Sign(rand.Reader, covered)
	if err != nil {
		t.Fatal(err)
	}
	blob := append([]byte("SSHSIG"), ssh.Marshal(struct {
		Version                   uint32
		PublicKey                 []byte
		Namespace, Reserved, Hash string
		Signature                 []byte
	}{1, s.signer.PublicKey().Marshal(), namespace, "", "sha512", ssh.Marshal(signature)})...)
	text := base64.StdEncoding.EncodeToString(blob)
	var out strings.Builder
	out.WriteString("-----BEGIN SSH SIGNATURE-----\n")
	for len(text) > 70 {
		out.WriteString(text[:70] + "\n")
		text = text[70:]
	}
	return out.String() + text + "\n-----END SSH SIGNATURE-----\n"
}

const (
	tree   = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
	who    = " Anne <anne@example.org> 1780000000 +0000\n"
	plain  = "tree " + tree + "\nauthor" + who + "committer" + who + "\ntitle\n\nbody\n"
	commit = "0123456789012345678901234567890123456789"
)

// withHeader puts a signature into a commit, as git does.
func withHeader(payload, name, signature string) string {
	head, message, _ := strings.Cut(payload, "\n\n")
	return head + "\n" + name + " " + strings.ReplaceAll(strings.TrimSuffix(signature, "\n"), "\n", "\n ") + "\n\n" + message
}

func tagNamed(name, object, kind string) string {
	return "object " + object + "\ntype " + kind + "\ntag " + name + "\ntagger" + who + "\nrelease\n"
}

func hash(kind plumbing.ObjectType, content string) string {
	return plumbing.ComputeHash(kind, []byte(content)).String()
}

func keysOf(t testing.TB, data map[string][]byte) verify.Keys {
	t.Helper()
	keys, err := verify.ParseKeys(data)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestSigners(t *testing.T) {
	anne, bob := newPerson(t, 0), newShell(t)
	keys := keysOf(t, map[string][]byte{
		"anne.asc":   anne.public(t),
		"bob.sshpub": []byte("# the team\nbob@example.org " + bob.authorized() + " laptop\n"),
	})
	id := fmt.Sprintf("%016X", anne.entity.PrimaryKey.KeyId)
	for name, c := range map[string]struct{ signature, want string }{
		"OpenPGP": {anne.sign(t, plain), "Anne <anne@example.org> (" + id + ")"},
		"SSH":     {bob.sign(t, plain, "git"), "bob@example.org (" + ssh.FingerprintSHA256(bob.signer.PublicKey()) + ")"},
	} {
		content := withHeader(plain, "gpgsig", c.signature)
		signer, err := keys.Commit(hash(plumbing.CommitObject, content), []byte(content), now)
		if err != nil || signer.String() != c.want {
			t.Errorf("commit, %s: got %q and %v, want %q", name, signer, err, c.want)
		}
	}
	for name, sign := range map[string]func(string) string{
		"OpenPGP": func(text string) string { return anne.sign(t, text) },
		"SSH":     func(text string) string { return bob.sign(t, text, "git") },
	} {
		text := tagNamed("v1", commit, "commit")
		content := text + sign(text)
		_, err := keys.Tag(verify.Tag{Hash: hash(plumbing.TagObject, content), Content: []byte(content), Name: "v1", Commit: commit}, now)
		if err != nil {
			t.Errorf("tag, %s: %v", name, err)
		}
	}
}

// TestCommitBypasses are the ways around a signature that others have fallen for.
func TestCommitBypasses(t *testing.T) {
	anne, stranger, bob := newPerson(t, 0), newPerson(t, 0), newShell(t)
	keys := keysOf(t, map[string][]byte{"anne.asc": anne.public(t), "bob.sshpub": []byte(bob.authorized())})
	good := anne.sign(t, plain)
	signed := withHeader(plain, "gpgsig", good)
	evil := strings.Repeat("e", 40)
	expired := newPerson(t, 26*time.Hour)
	revoked := newPerson(t, 0)
	expiredKeys := keysOf(t, map[string][]byte{"old.asc": expired.public(t)})
	signedByRevoked := withHeader(plain, "gpgsig", revoked.sign(t, plain))
	if err := revoked.entity.RevokeKey(packet.KeyCompromised, "lost", at(now.Add(-time.Hour))); err != nil {
		t.Fatal(err)
	}
	revokedKeys := keysOf(t, map[string][]byte{"lost.asc": revoked.public(t)})
	merged := strings.Replace(plain, "\n\ntitle", "\nmergetag object "+commit+"\n type commit\n tag v1\n tagger"+strings.TrimSuffix(who, "\n")+"\n \n message\n "+strings.ReplaceAll(strings.TrimSuffix(good, "\n"), "\n", "\n ")+"\n\ntitle", 1)
	encoded := strings.Replace(plain, "\n\ntitle", "\nencoding ISO-8859-1\n\ntitle", 1)
	cases := map[string]struct {
		why     string
		content string
		keys    *verify.Keys
		want    error  // one of these,
		text    string // or a part of the message
	}{
		"Unsigned":          {why: "no signature is no signature", content: plain, want: verify.ErrUnsigned},
		"UnsignedMerge":     {why: "a signed parent's tag in it does not sign a merge", content: merged, want: verify.ErrUnsigned},
		"Stranger":          {why: "a key that nobody trusts", content: withHeader(plain, "gpgsig", stranger.sign(t, plain)), want: verify.ErrUnknown},
		"StrangerSSH":       {why: "nor an SSH key", content: withHeader(plain, "gpgsig", newShell(t).sign(t, plain, "git")), want: verify.ErrUnknown},
		"OtherPayload":      {why: "a signature over something else", content: withHeader(strings.Replace(plain, "title", "other", 1), "gpgsig", good), want: verify.ErrInvalid},
		"OtherPayloadSSH":   {why: "with SSH, too", content: withHeader(strings.Replace(plain, "title", "other", 1), "gpgsig", bob.sign(t, plain, "git")), want: verify.ErrInvalid},
		"OtherTree":         {why: "another tree", content: strings.Replace(signed, tree, evil, 1), want: verify.ErrInvalid},
		"TwoTrees":          {why: "git takes the first, others the last (CVE-2026-44310)", content: strings.Replace(signed, "tree ", "tree "+evil+"\ntree ", 1), text: "in its place"},
		"TwoTreesLater":     {why: "wherever it is", content: strings.Replace(signed, "\n\n", "\ntree "+evil+"\n\n", 1), text: "header tree twice"},
		"TwoAuthors":        {why: "an author by whom it is not", content: strings.Replace(signed, "committer", "author Eve <e@x> 1 +0000\ncommitter", 1), text: "in its place"},
		"LateParent":        {why: "a parent that readers may miss", content: strings.Replace(signed, "\n\n", "\nparent "+evil+"\n\n", 1), text: "header parent twice"},
		"ContinuedTree":     {why: "a tree with a second line", content: strings.Replace(signed, tree+"\n", tree+"\n "+evil+"\n", 1), text: "in its place"},
		"LeadingLine":       {why: "a continuation of nothing", content: " x\n" + signed, text: "continuation of nothing"},
		"CarriageReturn":    {why: "a line end for some readers only (gitsign 871)", content: strings.Replace(signed, "example.org>", "example.org>\rtree "+evil+"\r", 1), text: "treat differently"},
		"Null":              {why: "an end for some readers only", content: strings.Replace(signed, "Anne", "Anne\x00", 1), text: "treat differently"},
		"TwoSignatures":     {why: "which one counts?", content: withHeader(signed, "gpgsig", good), text: "header gpgsig twice"},
		"TwoBlocks":         {why: "two blocks in one header", content: withHeader(plain, "gpgsig", good+good), text: "not one armored block"},
		"TextAround":        {why: "text after the block is covered by nothing", content: withHeader(plain, "gpgsig", good+"tree "+evil+"\n"), text: "not one armored block"},
		"SHA256Header":      {why: "a header that no signature covers", content: withHeader(signed, "gpgsig-sha256", good), text: "which no signature covers"},
		"LookAlikeHeader":   {why: "nor any like it", content: strings.Replace(signed, "\n\n", "\ngpgsigned yes\n\n", 1), text: "which no signature covers"},
		"AddedHeader":       {why: "a header that was added afterwards is covered", content: strings.Replace(signed, "\n\n", "\nencoding UTF-7\n\n", 1), want: verify.ErrInvalid},
		"EncodingSigned":    {why: "an encoding that was signed is fine", content: withHeader(encoded, "gpgsig", anne.sign(t, encoded))},
		"MergeSigned":       {why: "so is a merge of a signed tag", content: withHeader(merged, "gpgsig", anne.sign(t, merged))},
		"OtherPurpose":      {why: "a signature of a file is none of a commit", content: withHeader(plain, "gpgsig", bob.sign(t, plain, "file")), text: "another purpose"},
		"Expired":           {why: "a key that is over", content: withHeader(plain, "gpgsig", expired.sign(t, plain)), keys: &expiredKeys, want: verify.ErrExpired},
		"Revoked":           {why: "a key that was given up, even for what it signed before", content: signedByRevoked, keys: &revokedKeys, want: verify.ErrRevoked},
		"NoHeadersEnd":      {why: "half an object", content: "tree " + tree, text: "no end of its headers"},
		"SignatureInBody":   {why: "a commit's message signs nothing", content: plain + good, want: verify.ErrUnsigned},
		"UnknownSigner":     {why: "X.509 is not known here", content: withHeader(plain, "gpgsig", "-----BEGIN SIGNED MESSAGE-----\nx\n-----END SIGNED MESSAGE-----"), text: "neither of OpenPGP nor of SSH"},
		"GarbageSSH":        {why: "malformed", content: withHeader(plain, "gpgsig", "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----"), text: "malformed"},
		"GarbageOpenPGP":    {why: "malformed", content: withHeader(plain, "gpgsig", "-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----"), text: "malformed"},
		"ClearSigned":       {why: "a message is no detached signature", content: withHeader(plain, "gpgsig", "-----BEGIN PGP MESSAGE-----\n\nAAAA\n-----END PGP MESSAGE-----"), text: "neither of OpenPGP nor of SSH"},
		"EmptyHeader":       {why: "an empty signature is none", content: strings.Replace(plain, "\n\n", "\ngpgsig \n\n", 1), want: verify.ErrUnsigned},
		"KeyOfOtherKindSSH": {why: "an OpenPGP key signs for itself only", content: withHeader(plain, "gpgsig", bob.sign(t, plain, "git")), keys: &expiredKeys, want: verify.ErrUnknown},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			trusted := keys
			if c.keys != nil {
				trusted = *c.keys
			}
			signer, err := trusted.Commit(hash(plumbing.CommitObject, c.content), []byte(c.content), now)
			switch {
			case c.want == nil && c.text == "":
				if err != nil {
					t.Errorf("%s: %v", c.why, err)
				}
			case err == nil:
				t.Fatalf("%s: it is taken for signed by %s", c.why, signer)
			case c.want != nil && !errors.Is(err, c.want), !strings.Contains(err.Error(), c.text):
				t.Errorf("%s: got %v, want %v%s", c.why, err, c.want, c.text)
			}
		})
	}
	if _, err := keys.Commit(evil, []byte(signed), now); err == nil {
		t.Error("the content of another commit is taken for this one's")
	}
}

func TestTagBypasses(t *testing.T) {
	anne := newPerson(t, 0)
	keys := keysOf(t, map[string][]byte{"anne.asc": anne.public(t)})
	sign := func(text string) string { return text + anne.sign(t, text) }
	v1 := tagNamed("v1", commit, "commit")
	evil := strings.Repeat("e", 40)
	cases := map[string]struct {
		why, content string
		want         error
		text         string
	}{
		"Unsigned":    {why: "an annotation is no signature", content: v1, want: verify.ErrUnsigned},
		"Elsewhere":   {why: "the reference leads to another commit than the tag", content: sign(tagNamed("v1", evil, "commit")), text: "another commit"},
		"Renamed":     {why: "an old release under a new name", content: sign(tagNamed("v0", commit, "commit")), text: "it was made as tag 'v0'"},
		"OfTag":       {why: "a tag of a tag signs only that", content: sign(tagNamed("v1", commit, "tag")), text: "does not name a commit"},
		"OfTree":      {why: "nor of a tree", content: sign(tagNamed("v1", commit, "tree")), text: "does not name a commit"},
		"Retargeted":  {why: "the object was changed after signing", content: strings.Replace(sign(tagNamed("v1", evil, "commit")), evil, commit, 1), want: verify.ErrInvalid},
		"TwoObjects":  {why: "which one counts?", content: sign("object " + commit + "\n" + tagNamed("v1", evil, "commit")), text: "in its place"},
		"TwoBlocks":   {why: "which one counts?", content: sign(sign(v1) + "\n"), text: "more than one signature"},
		"TextAfter":   {why: "what follows is covered by nothing", content: sign(v1) + "and more\n", text: "not one armored block"},
		"HeaderSig":   {why: "a header that no signature covers", content: withHeader(sign(v1), "gpgsig", anne.sign(t, v1)), text: "which no signature covers"},
		"OtherAuthor": {why: "the tagger was changed", content: strings.Replace(sign(v1), "tagger Anne", "tagger Eve", 1), want: verify.ErrInvalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := keys.Tag(verify.Tag{Hash: hash(plumbing.TagObject, c.content), Content: []byte(c.content), Name: "v1", Commit: commit}, now)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: got %v, want %v%s", c.why, err, c.want, c.text)
			}
		})
	}
}

func TestParseKeys(t *testing.T) {
	bob := newShell(t)
	key := bob.authorized()
	content := withHeader(plain, "gpgsig", bob.sign(t, plain, "git"))
	try := func(keys verify.Keys) (verify.Signer, error) {
		return keys.Commit(hash(plumbing.CommitObject, content), []byte(content), now)
	}
	cases := map[string]struct {
		why, line, name string
		want            error // errors.ErrUnsupported: the line is refused
	}{
		"Bare":           {why: "authorized_keys", line: key},
		"Comment":        {why: "with a comment", line: key + " bob's laptop", name: "bob's laptop"},
		"Principal":      {why: "allowed_signers", line: "bob@example.org " + key, name: "bob@example.org"},
		"Principals":     {why: "several of them", line: `"bob@example.org,*@example.com" ` + key, name: "bob@example.org,*@example.com"},
		"Namespace":      {why: "for Git", line: `bob namespaces="git,file" ` + key, name: "bob"},
		"OtherNamespace": {why: "a key for files is no key for commits", line: "alice " + newShell(t).authorized() + "\n" + `bob namespaces="file" ` + key, want: verify.ErrUnknown},
		"Valid":          {why: "within its time", line: `bob valid-after="20260101",valid-before="20270101" ` + key, name: "bob"},
		"TooEarly":       {why: "before it", line: `bob valid-after="20260701" ` + key, want: verify.ErrExpired},
		"TooLate":        {why: "after it", line: `bob valid-before="20260601120000Z" ` + key, want: verify.ErrExpired},
		"Twice":          {why: "one of two lines may hold", line: `bob valid-before="20260101" ` + key + "\nbob " + key, name: "bob"},
		"Authority":      {why: "certificates are another thing", line: "*@example.org cert-authority " + key, want: errors.ErrUnsupported},
		"BadTime":        {why: "a time that cannot be read must not be forever", line: `bob valid-before="soon" ` + key, want: errors.ErrUnsupported},
		"NoKey":          {why: "a line without a key", line: "bob", want: errors.ErrUnsupported},
		"BrokenKey":      {why: "half a key", line: key[:40], want: errors.ErrUnsupported},
		"WrongType":      {why: "a key of another type than it says", line: strings.Replace(key, "ssh-ed25519", "ssh-rsa", 1), want: errors.ErrUnsupported},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			keys, err := verify.ParseKeys(map[string][]byte{"team.sshpub": []byte("# team\n\n" + c.line + "\n")})
			if (err != nil) != errors.Is(c.want, errors.ErrUnsupported) {
				t.Fatalf("%s: got %v", c.why, err)
			}
			if err != nil {
				return
			}
			signer, err := try(keys)
			if !errors.Is(err, c.want) || signer.Name != c.name {
				t.Errorf("%s: got %q and %v, want %q and %v", c.why, signer.Name, err, c.name, c.want)
			}
		})
	}
	for name, data := range map[string]map[string][]byte{
		"Empty":   {},
		"NoArmor": {"anne.asc": []byte("x")},
		"Half":    {"anne.asc": []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxx")},
	} {
		if _, err := verify.ParseKeys(data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzCommit(f *testing.F) {
	bob := newShell(f)
	keys := keysOf(f, map[string][]byte{"bob.sshpub": []byte(bob.authorized())})
	good := withHeader(plain, "gpgsig", bob.sign(f, plain, "git"))
	f.Add(good)
	f.Add(plain)
	f.Add("tree x\n y\ngpgsig -----BEGIN SSH SIGNATURE-----\n \n\n")
	f.Fuzz(func(t *testing.T, content string) {
		_, err := keys.Commit(hash(plumbing.CommitObject, content), []byte(content), now)
		if err == nil && content != good {
			// The armor may be wrapped in another way; what it covers may not differ.
			if strings.Split(content, "\ngpgsig ")[0] != strings.Split(good, "\ngpgsig ")[0] || !strings.HasSuffix(content, "\n\ntitle\n\nbody\n") {
				t.Errorf("taken for signed:\n%s", content)
			}
		}
		_, _ = keys.Tag(verify.Tag{Hash: hash(plumbing.TagObject, content), Content: []byte(content)}, now)
	})
}

func FuzzParseKeys(f *testing.F) {
	f.Add("bob " + newShell(f).authorized())
	f.Add(`a,b="c d" ssh-ed25519 AAAA`)
	f.Fuzz(func(_ *testing.T, content string) {
		_, _ = verify.ParseKeys(map[string][]byte{"a.sshpub": []byte(content)})
		_, _ = verify.ParseKeys(map[string][]byte{"a.asc": []byte(content)})
	})
}
