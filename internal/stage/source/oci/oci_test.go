package oci_test

import (
	"archive/tar"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/stage/source/oci"
	"holdfast.dev/holdfast/internal/stage/source/oci/registrytest"
	"holdfast.dev/holdfast/internal/stage/source/transport"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newFetcher(t testing.TB, options oci.Options) *oci.Fetcher {
	t.Helper()
	dir := t.TempDir()
	options.Scratch = func() (*os.File, error) { return os.CreateTemp(dir, "") }
	return oci.New(options)
}

func contents(t testing.TB, content *oci.Content) map[string]string {
	t.Helper()
	defer func() { check(t, content.Close()) }()
	out := map[string]string{}
	for _, entry := range content.Files.Entries() {
		file, err := content.Files.Open(entry)
		check(t, err)
		text, err := io.ReadAll(file)
		check(t, err)
		out[entry.Path] = string(text)
	}
	return out
}

func TestResolve(t *testing.T) {
	server := registrytest.Serve(t, registrytest.Options{})
	digests := map[string]string{}
	for _, tag := range []string{"latest", "1.0.0", "v1.1.0", "1.2.0-rc.1", "2.0.0", "1.9", "main"} {
		digests[tag] = server.Push(t, "team/app", tag, registrytest.Artifact{Files: map[string]string{"tag": tag}})
	}
	cases := map[string]struct {
		why       string
		reference oci.Reference
		want      string // the revision
		err       string
	}{
		"Default":    {"nothing asked for is latest", oci.Reference{}, "latest@" + digests["latest"], ""},
		"Tag":        {"a tag", oci.Reference{Tag: "main"}, "main@" + digests["main"], ""},
		"Digest":     {"a digest wins, and has no name", oci.Reference{Digest: digests["main"], SemVer: "*", Tag: "x"}, digests["main"], ""},
		"Range":      {"the highest version in it, with its own name", oci.Reference{SemVer: "1.x", Tag: "x"}, "v1.1.0@" + digests["v1.1.0"], ""},
		"Prerelease": {"a range that allows them", oci.Reference{SemVer: ">=1.0.0-0 <2.0.0-0"}, "1.2.0-rc.1@" + digests["1.2.0-rc.1"], ""},
		"Filter":     {"tags that do not match it do not count", oci.Reference{SemVer: "*", Filter: "^v"}, "v1.1.0@" + digests["v1.1.0"], ""},
		"NoMatch":    {"a range that nothing is in", oci.Reference{SemVer: "3.x"}, "", "no tag matches"},
		"NoTag":      {"a tag that is not there", oci.Reference{Tag: "missing"}, "", "404"},
		"BadRange":   {"no range", oci.Reference{SemVer: "one"}, "", "malformed version range"},
		"BadFilter":  {"no pattern", oci.Reference{SemVer: "*", Filter: "("}, "", "malformed filter"},
		"BadDigest":  {"no digest", oci.Reference{Digest: "sha256:1"}, "", "malformed digest"},
		"BadTag":     {"a tag does not leave the repository", oci.Reference{Tag: "../x"}, "", "malformed tag"},
	}
	fetcher := newFetcher(t, oci.Options{})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			found, err := fetcher.Resolve(t.Context(), oci.Request{URL: server.URL("team/app"), Reference: c.reference})
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("%s: error is %v, want %q", c.why, err, c.err)
			}
			if found.Revision != c.want {
				t.Errorf("%s: revision is %q, want %q", c.why, found.Revision, c.want)
			}
			if strings.HasPrefix(name, "Bad") && fault.KindOf(err) != fault.Stalled {
				t.Errorf("what only the spec can mend is of kind %d", fault.KindOf(err))
			}
		})
	}
}

func TestUnchangedTagCostsOneRequest(t *testing.T) {
	for name, options := range map[string]registrytest.Options{
		"Open":   {},
		"Basic":  {Username: "me", Password: "canary"},
		"Tokens": {Username: "me", Password: "canary", Tokens: true},
	} {
		t.Run(name, func(t *testing.T) {
			server := registrytest.Serve(t, options)
			server.Push(t, "app", "latest", registrytest.Artifact{Files: map[string]string{"a": "1"}})
			fetcher := newFetcher(t, oci.Options{})
			request := oci.Request{URL: server.URL("app"), Login: &oci.Login{Username: "me", Password: "canary"}}
			_, err := fetcher.Resolve(t.Context(), request)
			check(t, err)
			server.Take()
			_, err = fetcher.Resolve(t.Context(), request)
			check(t, err)
			if diff := cmp.Diff([]string{"HEAD /v2/app/manifests/latest"}, server.Take()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPull(t *testing.T) {
	server := registrytest.Serve(t, registrytest.Options{TLS: true, Username: "me", Password: "canary", Tokens: true})
	want := map[string]string{"apps/web.yaml": "kind: Deployment\n", "README": "x"}
	server.Push(t, "app", "latest", registrytest.Artifact{Files: want, Annotations: map[string]string{oci.RevisionKey: "main@sha1:1"}})
	fetcher := newFetcher(t, oci.Options{})
	request := oci.Request{
		URL: server.URL("app"), Login: &oci.Login{Username: "me", Password: "canary"},
		Certificates: transport.Certificates{Authority: server.CA()},
	}
	found, err := fetcher.Resolve(t.Context(), request)
	check(t, err)
	// What was resolved is what is pulled, whatever the tag means by then.
	server.Push(t, "app", "latest", registrytest.Artifact{Files: map[string]string{"other": "y"}})
	content, err := fetcher.Pull(t.Context(), found, oci.Layer{MediaType: registrytest.LayerType})
	check(t, err)
	if content.Annotations[oci.RevisionKey] != "main@sha1:1" {
		t.Errorf("annotations are %v", content.Annotations)
	}
	if diff := cmp.Diff(want, contents(t, content)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if _, err = fetcher.Pull(t.Context(), found, oci.Layer{MediaType: "text/plain"}); err == nil || fault.ReasonOf(err, "") != "OCIArtifactLayerOperationFailed" {
		t.Errorf("a layer that is not there gives %v", err)
	}
	request.Login.Password = "other-canary"
	if _, err = fetcher.Resolve(t.Context(), request); err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "canary") {
		t.Errorf("a wrong password gives %v", err)
	}
	request.Certificates.Authority = nil
	if _, err = fetcher.Resolve(t.Context(), request); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority gives %v", err)
	}
}

func TestCopyKeepsTheLayer(t *testing.T) {
	server := registrytest.Serve(t, registrytest.Options{})
	for name, layer := range map[string][]byte{"archive": registrytest.Pack(t, map[string]string{"a": "1"}), "text": []byte("plain text")} {
		server.Push(t, "app", name, registrytest.Artifact{Layer: layer, Type: "application/x"})
		fetcher := newFetcher(t, oci.Options{})
		found, err := fetcher.Resolve(t.Context(), oci.Request{URL: server.URL("app"), Reference: oci.Reference{Tag: name}})
		check(t, err)
		content, err := fetcher.Pull(t.Context(), found, oci.Layer{Copy: true})
		check(t, err)
		blob, err := content.Blob()
		check(t, err)
		got, err := io.ReadAll(blob)
		check(t, err)
		if !bytes.Equal(got, layer) || (content.Files == nil) != (name == "text") {
			t.Errorf("%s: %d bytes, want %d; files are %v", name, len(got), len(layer), content.Files)
		}
		check(t, content.Close())
		if _, err := fetcher.Pull(t.Context(), found, oci.Layer{}); (err == nil) != (name == "archive") {
			t.Errorf("%s: extracting gives %v", name, err)
		}
	}
}

func TestPullRefusesHostileLayers(t *testing.T) {
	pack := func(header tar.Header, content string) []byte {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		header.Size = int64(len(content))
		check(t, w.WriteHeader(&header))
		_, err := w.Write([]byte(content))
		check(t, err)
		check(t, w.Close())
		return out.Bytes()
	}
	cases := map[string]struct {
		why   string
		layer []byte
		want  string
	}{
		"Traversal": {"leaves the tree", pack(tar.Header{Typeflag: tar.TypeReg, Name: "../x"}, "x"), "leads out"},
		"Device":    {"no such files in a tree", pack(tar.Header{Typeflag: tar.TypeChar, Name: "x"}, ""), "unsupported type"},
		"Bomb":      {"inflates to more than allowed", registrytest.Pack(t, map[string]string{"a": strings.Repeat("a", 1<<20)}), "more than the bytes"},
		"TooLarge":  {"is more than allowed", bytes.Repeat([]byte("x"), 1<<17), "more than the 65536"},
		"NoArchive": {"something else", []byte("text that is long enough to be looked at"), "not gzip"},
	}
	server := registrytest.Serve(t, registrytest.Options{})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			server.Push(t, "app", "latest", registrytest.Artifact{Layer: c.layer})
			fetcher := newFetcher(t, oci.Options{MaxLayer: 1 << 16, MaxContent: 1 << 18})
			found, err := fetcher.Resolve(t.Context(), oci.Request{URL: server.URL("app")})
			check(t, err)
			_, err = fetcher.Pull(t.Context(), found, oci.Layer{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error is %v, want %q", c.why, err, c.want)
			}
		})
	}
}

func TestLinksAreLeftOut(t *testing.T) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	check(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "link", Linkname: "/etc"}))
	check(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "link/passwd", Size: 1}))
	_, err := w.Write([]byte("x"))
	check(t, err)
	check(t, w.Close())
	server := registrytest.Serve(t, registrytest.Options{})
	server.Push(t, "app", "latest", registrytest.Artifact{Layer: out.Bytes()})
	fetcher := newFetcher(t, oci.Options{})
	found, err := fetcher.Resolve(t.Context(), oci.Request{URL: server.URL("app")})
	check(t, err)
	content, err := fetcher.Pull(t.Context(), found, oci.Layer{})
	check(t, err)
	if diff := cmp.Diff(map[string]string{"link/passwd": "x"}, contents(t, content)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestCredentialsStayWithTheRegistry(t *testing.T) {
	var stolen atomic.Value
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stolen.Store(r.Header.Get("Authorization"))
		http.Error(w, "no", http.StatusTeapot)
	}))
	defer thief.Close()
	elsewhere := strings.Replace(thief.URL, "127.0.0.1", "localhost", 1)
	server := registrytest.Serve(t, registrytest.Options{
		Username: "me", Password: "canary",
		Handle: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				http.Redirect(w, r, elsewhere+"/?signature=canary", http.StatusTemporaryRedirect)
				return true
			}
			return false
		},
	})
	server.Push(t, "app", "latest", registrytest.Artifact{Files: map[string]string{"a": "1"}})
	fetcher := newFetcher(t, oci.Options{})
	found, err := fetcher.Resolve(t.Context(), oci.Request{URL: server.URL("app"), Login: &oci.Login{Username: "me", Password: "canary"}})
	check(t, err)
	_, err = fetcher.Pull(t.Context(), found, oci.Layer{})
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("error is %v", err)
	}
	if got := stolen.Load(); got != "" {
		t.Errorf("another host was shown %q", got)
	}
}

func TestSilentRegistryTimesOut(t *testing.T) {
	server := registrytest.Serve(t, registrytest.Options{Handle: func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	}})
	_, err := newFetcher(t, oci.Options{}).Resolve(t.Context(), oci.Request{URL: server.URL("app"), Timeout: 50 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "timed out after 50ms") {
		t.Errorf("error is %v", err)
	}
}

func TestRepository(t *testing.T) {
	for address, want := range map[string]string{
		"oci://ghcr.io/org/app":        "",
		"oci://localhost:5000/app":     "",
		"ghcr.io/org/app":              "has the form",
		"oci://ghcr.io/org/app:latest": "no tag",
		"oci://":                       "of the form",
		"oci://user:canary@ghcr.io/a":  "of the form",
	} {
		_, err := oci.Repository(address, false)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary")) {
			t.Errorf("%s: error is %v, want %q", address, err, want)
		}
	}
}
