package gitrepository_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

// signers are two people whose keys are trusted, and one who is not.
type signers struct {
	anne, stranger *openpgp.Entity
	bob            ssh.Signer
}

func newSigners(t *testing.T) signers {
	t.Helper()
	var s signers
	for _, entity := range []**openpgp.Entity{&s.anne, &s.stranger} {
		made, err := openpgp.NewEntity("Anne", "", "anne@example.org", nil)
		check(t, err)
		*entity = made
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	s.bob, err = ssh.NewSignerFromKey(private)
	check(t, err)
	return s
}

func (s signers) secret(t *testing.T, w *world, name string) {
	t.Helper()
	var out bytes.Buffer
	writer, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
	check(t, err)
	check(t, errors.Join(s.anne.Serialize(writer), writer.Close()))
	check(t, w.client.Create(context.Background(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Data: map[string][]byte{
			"anne.asc": out.Bytes(), "bob.sshpub": append([]byte("bob@example.org "), ssh.MarshalAuthorizedKey(s.bob.PublicKey())...),
		},
	}))
}

func byOpenPGP(t *testing.T, entity *openpgp.Entity) func(string) string {
	return func(payload string) string {
		t.Helper()
		var out bytes.Buffer
		check(t, openpgp.ArmoredDetachSign(&out, entity, strings.NewReader(payload), nil))
		return strings.TrimSuffix(out.String(), "\n") + "\n"
	}
}

func bySSH(t *testing.T, signer ssh.Signer) func(string) string {
	return func(payload string) string {
		t.Helper()
		digest := sha256.Sum256([]byte(payload))
		covered := append([]byte("SSHSIG"), ssh.Marshal(struct {
			Namespace, Reserved, Hash string
			Digest                    []byte
		}{"git", "", "sha256", digest[:]})...)
		signature, err := signer.Sign(rand.Reader, covered)
		check(t, err)
		blob := append([]byte("SSHSIG"), ssh.Marshal(struct {
			Version                   uint32
			Key                       []byte
			Namespace, Reserved, Hash string
			Signature                 []byte
		}{1, signer.PublicKey().Marshal(), "git", "", "sha256", ssh.Marshal(signature)})...)
		return "-----BEGIN SSH SIGNATURE-----\n" + base64.StdEncoding.EncodeToString(blob) + "\n-----END SSH SIGNATURE-----\n"
	}
}

// signCommit writes a commit anew with a signature, and points the branch to it.
func signCommit(t *testing.T, repo *gittest.Repository, sign func(string) string) string {
	t.Helper()
	payload := repo.Git(t, "cat-file", "commit", "main") + "\n"
	head, message, _ := strings.Cut(payload, "\n\n")
	signature := strings.ReplaceAll(strings.TrimSuffix(sign(payload), "\n"), "\n", "\n ")
	hash := repo.Object(t, "commit", []byte(head+"\ngpgsig "+signature+"\n\n"+message))
	repo.SetRef(t, "refs/heads/main", hash)
	return hash
}

func signTag(t *testing.T, repo *gittest.Repository, name, commit string, sign func(string) string) string {
	t.Helper()
	payload := "object " + commit + "\ntype commit\ntag " + name + "\ntagger Anne <anne@example.org> 1780000000 +0000\n\nrelease\n"
	hash := repo.Object(t, "tag", []byte(payload+sign(payload)))
	repo.SetRef(t, "refs/tags/"+name, hash)
	return hash
}

func verified(mode sourcev1.GitVerificationMode) *sourcev1.GitRepositoryVerification {
	return &sourcev1.GitRepositoryVerification{Mode: mode, SecretRef: meta.LocalObjectReference{Name: "keys"}}
}

// TestVerifyHead: only signed commits become artifacts, the last good one stays, and people learn who
// signed.
func TestVerifyHead(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	s := newSigners(t)
	repo := w.git.Repository(t, "platform")
	repo.Commit(t, map[string]string{"a.yaml": "a: 1\n"})
	first := signCommit(t, repo, byOpenPGP(t, s.anne))
	w.create("platform", sourcev1.GitRepositorySpec{URL: repo.URL(), Verification: verified("HEAD")})
	object := w.until("platform", "waiting for its keys", func(object *sourcev1.GitRepository) bool { return is(object, "SourceVerified", metav1.ConditionFalse) })
	if got := condition(object, "SourceVerified"); got.Reason != "VerificationError" || object.Status.Artifact != nil {
		t.Errorf("without keys: %s", describe(object))
	}
	s.secret(t, w, "keys")
	object = w.until("platform", "ready with the keys", isReady)
	want := fmt.Sprintf("verified signature of\n\t- commit '%s' with key '%016X'", first, s.anne.PrimaryKey.KeyId)
	if got := condition(object, "SourceVerified"); got.Status != metav1.ConditionTrue || got.Reason != "Succeeded" || got.Message != want {
		t.Errorf("got %s, want %s", describe(object), want)
	}
	if mode := object.Status.SourceVerificationMode; mode == nil || *mode != "HEAD" {
		t.Errorf("got mode %v", mode)
	}
	if w.ask("platform"); !is(w.get("platform"), "SourceVerified", metav1.ConditionTrue) {
		t.Errorf("an unchanged remote costs the condition: %s", describe(w.get("platform")))
	}

	repo.Commit(t, map[string]string{"a.yaml": "a: 2\n"})
	object = w.ask("platform")
	if got := condition(object, "SourceVerified"); got.Status != metav1.ConditionFalse || got.Reason != "InvalidCommitSignature" || !strings.HasSuffix(got.Message, "failed: it is not signed") {
		t.Errorf("unsigned: %s", describe(object))
	}
	if !object.Status.Artifact.HasRevision("main@sha1:"+first) || condition(object, "Ready").Reason != "InvalidCommitSignature" || is(object, "Stalled", metav1.ConditionTrue) {
		t.Errorf("the old artifact is lost: %s", describe(object))
	}
	repo.SetRef(t, "refs/heads/main", first)
	if object = w.ask("platform"); !isReady(object) || !is(object, "SourceVerified", metav1.ConditionTrue) {
		t.Errorf("a remote that went back to what is good: %s", describe(object))
	}

	repo.Commit(t, map[string]string{"a.yaml": "a: 3\n"})
	signCommit(t, repo, byOpenPGP(t, s.stranger))
	if object = w.ask("platform"); condition(object, "Ready").Reason != "InvalidCommitSignature" || !object.Status.Artifact.HasRevision("main@sha1:"+first) {
		t.Errorf("signed by a stranger: %s", describe(object))
	}
	third := signCommit(t, repo, func(string) string { return byOpenPGP(t, s.anne)("another payload") })
	if object = w.ask("platform"); condition(object, "Ready").Reason != "InvalidCommitSignature" || object.Status.Artifact.HasRevision("main@sha1:"+third) {
		t.Errorf("signed over something else: %s", describe(object))
	}
	repo.Commit(t, map[string]string{"a.yaml": "a: 4\n"})
	last := signCommit(t, repo, bySSH(t, s.bob))
	object = w.ask("platform")
	if !isReady(object) || !object.Status.Artifact.HasRevision("main@sha1:"+last) || !strings.HasSuffix(condition(object, "SourceVerified").Message, "with key '"+ssh.FingerprintSHA256(s.bob.PublicKey())+"'") {
		t.Errorf("signed with SSH: %s", describe(object))
	}
	w.change("platform", func(object *sourcev1.GitRepository) { object.Spec.Verification = nil })
	object = w.until("platform", "without verification", func(object *sourcev1.GitRepository) bool {
		return isReady(object) && condition(object, "SourceVerified").Type == "" && object.Status.SourceVerificationMode == nil
	})
	if !object.Status.Artifact.HasRevision("main@sha1:" + last) {
		t.Errorf("got %s", describe(object))
	}
}

// TestVerifyTag: a tag is verified as an object of its own, also where its commit is here already.
func TestVerifyTag(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	s := newSigners(t)
	s.secret(t, w, "keys")
	repo := w.git.Repository(t, "platform")
	old := repo.Commit(t, map[string]string{"a.yaml": "a: 1\n"})
	signTag(t, repo, "v1", old, byOpenPGP(t, s.anne))
	repo.Commit(t, map[string]string{"a.yaml": "a: 2\n"})
	commit := signCommit(t, repo, byOpenPGP(t, s.anne))
	tag := signTag(t, repo, "v2", commit, bySSH(t, s.bob))
	repo.Tag(t, "light", commit)
	repo.AnnotatedTag(t, "unsigned", commit)
	elsewhere := repo.Hash(t, "refs/tags/v1")
	repo.SetRef(t, "refs/tags/v3", elsewhere) // the old release under a new name

	cases := []struct {
		name, why string
		mode      sourcev1.GitVerificationMode
		ref       sourcev1.GitRepositoryRef
		reason    string // "" is success
		message   string
		stalled   bool
	}{
		{name: "head", why: "the commit alone, first", mode: "HEAD", ref: sourcev1.GitRepositoryRef{Tag: "v2"}, message: "commit '" + commit + "'"},
		{name: "tag", why: "then its tag, whose commit is here", mode: "Tag", ref: sourcev1.GitRepositoryRef{Tag: "v2"}, message: "tag 'v2@" + tag + "' with key 'SHA256:"},
		{name: "both", why: "both are named", mode: "TagAndHEAD", ref: sourcev1.GitRepositoryRef{Tag: "v2"}, message: "\n\t- commit '" + commit + "'"},
		{name: "full", why: "a full name is a tag, too", mode: "Tag", ref: sourcev1.GitRepositoryRef{Name: "refs/tags/v2"}, message: "tag 'v2@"},
		{name: "unsigned-commit", why: "a signed tag of an unsigned commit is not enough", mode: "TagAndHEAD", ref: sourcev1.GitRepositoryRef{Tag: "v1"}, reason: "InvalidCommitSignature", message: "not signed"},
		{name: "renamed", why: "a tag under another name", mode: "Tag", ref: sourcev1.GitRepositoryRef{Tag: "v3"}, reason: "InvalidTagSignature", message: "made as tag 'v1'"},
		{name: "light", why: "a tag without an object", mode: "Tag", ref: sourcev1.GitRepositoryRef{Tag: "light"}, reason: "InvalidGitObject", message: "since it is not signed"},
		{name: "unsigned", why: "an object without a signature", mode: "Tag", ref: sourcev1.GitRepositoryRef{Tag: "unsigned"}, reason: "InvalidGitObject", message: "since it is not signed"},
		{name: "branch", why: "a branch has no tag", mode: "Tag", ref: sourcev1.GitRepositoryRef{Branch: "main"}, reason: "InvalidVerificationMode", message: "tag reference is not specified", stalled: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w.create(c.name, sourcev1.GitRepositorySpec{URL: repo.URL(), Reference: &c.ref, Verification: verified(c.mode)})
			object := w.until(c.name, "judged", func(object *sourcev1.GitRepository) bool {
				return condition(object, "SourceVerified").Type != "" && condition(object, "Ready").Status != metav1.ConditionUnknown
			})
			got := condition(object, "SourceVerified")
			good := c.reason == ""
			if (got.Status == metav1.ConditionTrue) != good || !good && got.Reason != c.reason || !strings.Contains(got.Message, c.message) {
				t.Errorf("%s: %s", c.why, describe(object))
			}
			if (object.Status.Artifact != nil) != good || is(object, "Stalled", metav1.ConditionTrue) != c.stalled {
				t.Errorf("%s: %s", c.why, describe(object))
			}
		})
	}
	w.change("head", func(object *sourcev1.GitRepository) { object.Spec.Verification.Mode = "TagAndHEAD" })
	w.until("head", "verified again in its new mode", func(object *sourcev1.GitRepository) bool {
		return isReady(object) && strings.Contains(condition(object, "SourceVerified").Message, "tag 'v2@")
	})
}
