package gitrepository

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/stage/source/git"
)

func TestRequestOf(t *testing.T) {
	cases := map[string]struct {
		why    string
		spec   sourcev1.GitRepositorySpec
		want   git.Request
		reason string // of the refusal
	}{
		"Minimal": {
			why:  "the default timeout is a minute",
			spec: sourcev1.GitRepositorySpec{URL: "https://example.org/a.git"},
			want: git.Request{URL: "https://example.org/a.git", Timeout: time.Minute},
		},
		"Everything": {
			why: "all that the transport needs goes over",
			spec: sourcev1.GitRepositorySpec{
				URL: "ssh://git@example.org/a.git", RecurseSubmodules: true, SparseCheckout: []string{"./a", "b/c"},
				Timeout:   &metav1.Duration{Duration: 5 * time.Second},
				Reference: &sourcev1.GitRepositoryRef{Branch: "b", Tag: "t", SemVer: "s", Name: "n", Commit: "c"},
			},
			want: git.Request{
				URL: "ssh://git@example.org/a.git", Submodules: true, Sparse: []string{"a", "b/c"}, Timeout: 5 * time.Second,
				Reference: git.Reference{Branch: "b", Tag: "t", SemVer: "s", Name: "n", Commit: "c"},
			},
		},
		"UserInAddress": {
			why:  "credentials leave the address, so that it can be shown",
			spec: sourcev1.GitRepositorySpec{URL: "https://me:secret@example.org/a.git"},
			want: git.Request{URL: "https://example.org/a.git", Timeout: time.Minute, Auth: git.Auth{Username: "me", Password: "secret"}},
		},
		"BadScheme":      {why: "a local path is not an address", spec: sourcev1.GitRepositorySpec{URL: "file:///etc"}, reason: "URLInvalid"},
		"NoHost":         {why: "nowhere to go", spec: sourcev1.GitRepositorySpec{URL: "https://"}, reason: "URLInvalid"},
		"Garbage":        {why: "the error must not repeat a password", spec: sourcev1.GitRepositorySpec{URL: "https://a:canary@b:\x7f"}, reason: "URLInvalid"},
		"AzurePlain":     {why: "a token must not travel in the clear", spec: sourcev1.GitRepositorySpec{URL: "http://example.org/a.git", Provider: "azure"}, reason: "InvalidProviderConfiguration"},
		"AWSOverSSH":     {why: "a token is no key", spec: sourcev1.GitRepositorySpec{URL: "ssh://git@example.org/a.git", Provider: "aws"}, reason: "InvalidProviderConfiguration"},
		"OtherProvider":  {why: "fail closed", spec: sourcev1.GitRepositorySpec{URL: "https://example.org/a.git", Provider: "gcp"}, reason: "InvalidProviderConfiguration"},
		"ServiceAccount": {why: "has no meaning here", spec: sourcev1.GitRepositorySpec{URL: "https://example.org/a.git", ServiceAccountName: "x"}, reason: "InvalidProviderConfiguration"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := requestOf(&sourcev1.GitRepository{Spec: c.spec})
			if c.reason != "" {
				if fault.KindOf(err) != fault.Stalled || fault.ReasonOf(err, "") != c.reason || strings.Contains(err.Error(), "canary") {
					t.Errorf("%s: error is %v, want a stalled %s", c.why, err, c.reason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
}

func TestContentChanged(t *testing.T) {
	text := func(s string) *string { return &s }
	artifact := &meta.Artifact{Revision: "main@sha1:1", Digest: "sha256:1"}
	cases := map[string]struct {
		why      string
		spec     sourcev1.GitRepositorySpec
		status   sourcev1.GitRepositoryStatus
		included []*meta.Artifact
		want     bool
	}{
		"Nothing":   {why: "an interval or a URL makes no other artifact", spec: sourcev1.GitRepositorySpec{URL: "x"}},
		"Ignore":    {why: "other files", spec: sourcev1.GitRepositorySpec{Ignore: text("")}, want: true},
		"SameRules": {why: "compared by content", spec: sourcev1.GitRepositorySpec{Ignore: text("a")}, status: sourcev1.GitRepositoryStatus{ObservedIgnore: text("a")}},
		"Modules":   {why: "other files", status: sourcev1.GitRepositoryStatus{ObservedRecurseSubmodules: true}, want: true},
		"Sparse":    {why: "other files", spec: sourcev1.GitRepositorySpec{SparseCheckout: []string{"a"}}, status: sourcev1.GitRepositoryStatus{ObservedSparseCheckout: []string{"b"}}, want: true},
		"Include": {why: "other place", want: true, included: []*meta.Artifact{artifact},
			spec:   sourcev1.GitRepositorySpec{Include: []sourcev1.GitRepositoryInclude{{ToPath: "a"}}},
			status: sourcev1.GitRepositoryStatus{ObservedInclude: []sourcev1.GitRepositoryInclude{{ToPath: "b"}}, IncludedArtifacts: []*meta.Artifact{artifact}}},
		"IncludedArtifact": {why: "other content under the same revision", want: true, included: []*meta.Artifact{artifact},
			status: sourcev1.GitRepositoryStatus{IncludedArtifacts: []*meta.Artifact{{Revision: "main@sha1:1", Digest: "sha256:2"}}}},
		"SameInclude": {why: "nothing to do", included: []*meta.Artifact{artifact},
			status: sourcev1.GitRepositoryStatus{IncludedArtifacts: []*meta.Artifact{artifact}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := contentChanged(&sourcev1.GitRepository{Spec: c.spec, Status: c.status}, c.included); got != c.want {
				t.Errorf("changed is %t, want %t: %s", got, c.want, c.why)
			}
		})
	}
}

func TestAuthOf(t *testing.T) {
	key := []byte("-----BEGIN OPENSSH PRIVATE KEY-----\n")
	bytes := func(pairs ...string) map[string][]byte {
		data := map[string][]byte{}
		for i := 0; i < len(pairs); i += 2 {
			data[pairs[i]] = []byte(pairs[i+1])
		}
		return data
	}
	cases := map[string]struct {
		why  string
		url  string
		from git.Auth
		data map[string][]byte
		want git.Auth
		err  string
	}{
		"Anonymous":     {why: "no Secret", url: "https://a/b"},
		"Basic":         {why: "the common case", url: "https://a/b", data: bytes("username", "u", "password", "p"), want: git.Auth{Username: "u", Password: "p"}},
		"Bearer":        {why: "beats a password", url: "https://a/b", data: bytes("username", "u", "password", "p", "bearerToken", "t"), want: git.Auth{BearerToken: "t"}},
		"Authority":     {why: "both names are in use, the newer one wins", url: "https://a/b", data: bytes("caFile", "old", "ca.crt", "new"), want: git.Auth{CA: []byte("new")}},
		"OldAuthority":  {why: "written by older versions of the command line", url: "https://a/b", data: bytes("caFile", "old"), want: git.Auth{CA: []byte("old")}},
		"Mutual":        {why: "client certificates", url: "https://a/b", data: bytes("tls.crt", "c", "tls.key", "k"), want: git.Auth{ClientCert: []byte("c"), ClientKey: []byte("k")}},
		"HalfMutual":    {why: "half a pair is a mistake", url: "https://a/b", data: bytes("tls.crt", "c"), err: "require each other"},
		"OnlyPassword":  {why: "Flux refuses it too", url: "https://a/b", data: bytes("password", "p"), err: "requires key username"},
		"FromAddress":   {why: "the address may carry it", url: "https://a/b", from: git.Auth{Username: "u", Password: "p"}, want: git.Auth{Username: "u", Password: "p"}},
		"SecretWins":    {why: "the Secret is what people rotate", url: "https://a/b", from: git.Auth{Username: "u", Password: "p"}, data: bytes("password", "q"), want: git.Auth{Username: "u", Password: "q"}},
		"SSH":           {why: "a passphrase is in password", url: "ssh://me@a/b", data: map[string][]byte{"identity": key, "known_hosts": []byte("h"), "password": []byte("p")}, want: git.Auth{Username: "me", Identity: key, KnownHosts: []byte("h"), IdentityPassword: "p"}},
		"SSHUser":       {why: "git is the user everywhere", url: "ssh://a/b", data: map[string][]byte{"identity": key, "known_hosts": []byte("h")}, want: git.Auth{Username: "git", Identity: key, KnownHosts: []byte("h")}},
		"SSHNoKey":      {why: "nothing to show", url: "ssh://a/b", err: "requires key identity"},
		"SSHNoHosts":    {why: "never trust any host", url: "ssh://a/b", data: map[string][]byte{"identity": key}, err: "requires key known_hosts"},
		"SSHLockedKey":  {why: "say what is missing", url: "ssh://a/b", data: map[string][]byte{"identity": lockedKey, "known_hosts": []byte("h")}, err: "requires key password"},
		"SSHNoUserPass": {why: "basic keys mean nothing to ssh", url: "ssh://a/b", data: bytes("username", "u", "password", "p"), err: "requires key identity"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := authOf(c.url, c.from, c.data)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("%s: error is %v, want %q", c.why, err, c.err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" && err == nil {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
}

// lockedKey is an old PEM key that says of itself that it is encrypted.
var lockedKey = []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n")

func TestFetchFaultStallsOnlyWithoutSecrets(t *testing.T) {
	unusable := fault.Stall("AuthenticationFailed", errors.New("key is no key"))
	object := &sourcev1.GitRepository{}
	if got := fetchFault(object, unusable); fault.KindOf(got) != fault.Stalled {
		t.Errorf("without a Secret only the spec can help: kind is %d", fault.KindOf(got))
	}
	object.Spec.SecretRef = &meta.LocalObjectReference{Name: "x"}
	got := fetchFault(object, unusable)
	if fault.KindOf(got) != fault.Transient || fault.ReasonOf(got, "") != "AuthenticationFailed" {
		t.Errorf("a Secret may be mended any time: kind %d, reason %s", fault.KindOf(got), fault.ReasonOf(got, ""))
	}
}
