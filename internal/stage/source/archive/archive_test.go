package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/stage/source/archive"
	"holdfast.dev/holdfast/internal/store"
)

func regular(name, content string) (tar.Header, string) {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o600}, content
}

// pack builds an archive of headers with their content; members is how many gzip members it has.
func pack(t testing.TB, members int, add func(add func(tar.Header, string))) []byte {
	t.Helper()
	var plain, packed bytes.Buffer
	writer := tar.NewWriter(&plain)
	add(func(header tar.Header, content string) {
		check(t, writer.WriteHeader(&header))
		_, err := writer.Write([]byte(content))
		check(t, err)
	})
	check(t, writer.Close())
	for i := range members {
		part := plain.Bytes()[plain.Len()*i/members : plain.Len()*(i+1)/members]
		deflated := gzip.NewWriter(&packed)
		_, err := deflated.Write(part)
		check(t, errors.Join(err, deflated.Close()))
	}
	return packed.Bytes()
}

// flux is an archive with what Flux's own have: folders, and other modes than ours.
func flux(t testing.TB) []byte {
	return pack(t, 1, func(add func(tar.Header, string)) {
		add(tar.Header{Typeflag: tar.TypeDir, Name: ".", Mode: 0o750}, "")
		add(tar.Header{Typeflag: tar.TypeDir, Name: "apps", Mode: 0o750}, "")
		add(regular("apps/web.yaml", "kind: Deployment\n"))
		header, content := regular("run.sh", "#!/bin/sh\n")
		header.Mode = 0o700
		add(header, content)
		add(tar.Header{Typeflag: tar.TypeSymlink, Name: "link", Linkname: "/etc/passwd"}, "")
	})
}

var fluxFiles = map[string]string{"apps/web.yaml": "-rw-r--r-- kind: Deployment\n", "run.sh": "-rwxr-xr-x #!/bin/sh\n"}

func sum256(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

// server counts requests and answers them with what the handler says.
func server(t testing.TB, answer func(attempt int32, w http.ResponseWriter)) (url string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(requests.Add(1), w) }))
	t.Cleanup(s.Close)
	return s.URL + "/gitrepository/flux-system/platform/x.tar.gz", requests
}

func serving(t testing.TB, content []byte) (url string, requests *atomic.Int32) {
	return server(t, func(_ int32, w http.ResponseWriter) { _, _ = w.Write(content) })
}

func fetcher(t testing.TB, dir string, options archive.Options) *archive.Fetcher {
	t.Helper()
	kept, err := store.Open(dir, store.Options{})
	check(t, err)
	t.Cleanup(func() { _ = kept.Close() })
	options.Pause = time.Millisecond
	return archive.New(kept, options)
}

func contents(t testing.TB, stored *store.Tree) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, entry := range stored.Index().Entries() {
		content, err := stored.Read(entry.Path)
		check(t, err)
		out[entry.Path] = entry.Mode.String() + " " + string(content)
	}
	return out
}

func TestOpenFetchesOnce(t *testing.T) {
	content, dir := flux(t), t.TempDir()
	url, requests := serving(t, content)
	artifact := archive.Artifact{URL: url, Digest: sum256(content), Revision: "main@sha1:1", Size: int64(len(content))}

	f := fetcher(t, dir, archive.Options{})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			stored, err := f.Open(context.Background(), artifact)
			if err != nil {
				t.Error(err)
				return
			}
			if diff := cmp.Diff(fluxFiles, contents(t, stored)); diff != "" {
				t.Errorf("content differs (-want +got):\n%s", diff)
			}
		})
	}
	group.Wait()
	artifact.Revision = "main@sha1:2" // same content under another revision, after a restart
	stored, err := fetcher(t, dir, archive.Options{}).Open(context.Background(), artifact)
	check(t, err)
	if got := stored.Revision(); got != "main@sha1:2" {
		t.Errorf("revision is %q", got)
	}
	if got := requests.Load(); got != 1 {
		t.Errorf("%d requests, want one", got)
	}
}

func TestOpenVerifiesEveryAlgorithm(t *testing.T) {
	content := flux(t)
	url, _ := serving(t, content)
	cases := map[string]struct{ why, digest string }{
		"SHA256": {"Flux's default", sum256(content)},
		"Bare":   {"old statuses have no algorithm", strings.TrimPrefix(sum256(content), "sha256:")},
		"SHA384": {"a choice of Flux's operators", fmt.Sprintf("sha384:%x", sha512.Sum384(content))},
		"SHA512": {"a choice of Flux's operators", fmt.Sprintf("sha512:%x", sha512.Sum512(content))},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			stored, err := fetcher(t, t.TempDir(), archive.Options{}).Open(context.Background(), archive.Artifact{URL: url, Digest: c.digest})
			if err != nil {
				t.Fatalf("%s: %v", c.why, err)
			}
			if diff := cmp.Diff(fluxFiles, contents(t, stored)); diff != "" {
				t.Errorf("content differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOpenRetries(t *testing.T) {
	content := flux(t)
	cases := map[string]struct {
		why      string
		answer   func(attempt int32, w http.ResponseWriter)
		requests int32
		kind     fault.Kind
		want     string // empty: success
	}{
		"ServerError": {
			why: "a server that starts up", requests: 3,
			answer: func(attempt int32, w http.ResponseWriter) {
				if attempt < 3 {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				_, _ = w.Write(content)
			},
		},
		"BrokenOff": {
			why: "a connection that breaks", requests: 2,
			answer: func(attempt int32, w http.ResponseWriter) {
				w.Header().Set("Content-Length", fmt.Sprint(len(content)))
				_, _ = w.Write(content[:len(content)/2])
				if attempt == 2 {
					_, _ = w.Write(content[len(content)/2:])
				}
			},
		},
		"NotFound": {
			why: "the source is about to replace it", requests: 1, kind: fault.Waiting, want: "not found",
			answer: func(_ int32, w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
		},
		"OtherContent": {
			why: "the source has replaced it", requests: 1, kind: fault.Waiting, want: "digest does not match",
			answer: func(_ int32, w http.ResponseWriter) { _, _ = w.Write([]byte("something else")) },
		},
		"Forbidden": {
			why: "asking again does not help", requests: 1, want: "403",
			answer: func(_ int32, w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) },
		},
		"AlwaysDown": {
			why: "nine retries, as Flux", requests: 10, want: "500",
			answer: func(_ int32, w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			url, requests := server(t, c.answer)
			_, err := fetcher(t, t.TempDir(), archive.Options{PauseLimit: time.Millisecond}).
				Open(context.Background(), archive.Artifact{URL: url + "?token=canary", Digest: sum256(content)})
			if got := requests.Load(); got != c.requests {
				t.Errorf("%s: %d requests, want %d", c.why, got, c.requests)
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%s: error is %v, want %q", c.why, err, c.want)
			}
			if err != nil && (fault.KindOf(err) != c.kind || strings.Contains(err.Error(), "canary")) {
				t.Errorf("%s: error of kind %d is %v, want kind %d and no query", c.why, fault.KindOf(err), err, c.kind)
			}
		})
	}
}

func TestOpenRefusesHostileArchives(t *testing.T) {
	one := func(header tar.Header, content string) []byte {
		return pack(t, 1, func(add func(tar.Header, string)) { add(header, content) })
	}
	file := func(name string) []byte { return one(regular(name, "x")) }
	cases := map[string]struct {
		why     string
		content []byte
		want    string
	}{
		"Traversal":       {"leaves the tree", file("../../etc/cron.d/x"), "leads out"},
		"HiddenTraversal": {"leaves the tree", file("a/../../x"), "leads out"},
		"Absolute":        {"leaves the tree", file("/etc/passwd"), "leads out"},
		"Backslash":       {"leaves the tree elsewhere", file(`..\x`), "leads out"},
		"Device":          {"no such files in a tree", one(tar.Header{Typeflag: tar.TypeChar, Name: "null"}, ""), "unsupported type"},
		"Pipe":            {"no such files in a tree", one(tar.Header{Typeflag: tar.TypeFifo, Name: "pipe"}, ""), "unsupported type"},
		"FileAndFolder": {"cannot be both", pack(t, 1, func(add func(tar.Header, string)) {
			add(regular("a", "x"))
			add(regular("a/b", "x"))
		}), "a file and a folder"},
		"Bomb": {"inflates a thousandfold", one(regular("zero", strings.Repeat("\x00", 1<<20))), "more than the bytes allowed"},
		"BombAfterTheEnd": {"inflates where no entry is", append(file("a"), pack(t, 1, func(add func(tar.Header, string)) {
			add(regular("zero", strings.Repeat("\x00", 1<<20)))
		})...), "more than the bytes allowed"},
		"TooMany": {"costs memory", pack(t, 1, func(add func(tar.Header, string)) {
			for i := range 20 {
				add(regular(fmt.Sprint(i), ""))
			}
		}), "more than the 10 entries"},
		"TooLarge":  {"is never read to its end", bytes.Repeat([]byte("x"), 70_000), "larger than the 65536 bytes"},
		"NotGzip":   {"something else", []byte("plain text"), "not gzip"},
		"Truncated": {"was packed badly", file("a")[:40], "unexpected EOF"},
		"Checksum":  {"was packed badly", flip(file("a")), "checksum"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			url, _ := serving(t, c.content)
			_, err := fetcher(t, t.TempDir(), archive.Options{MaxArchive: 1 << 16, MaxContent: 1 << 18, MaxFiles: 10}).
				Open(context.Background(), archive.Artifact{URL: url, Digest: sum256(c.content)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error is %v, want %q", c.why, err, c.want)
			}
		})
	}
}

// flip breaks the checksum in a gzip file's last bytes.
func flip(content []byte) []byte {
	content = bytes.Clone(content)
	content[len(content)-8] ^= 1
	return content
}

func TestOpenReadsManyMembers(t *testing.T) {
	content := pack(t, 7, func(add func(tar.Header, string)) {
		add(regular("./a", "first"))
		add(regular("b", strings.Repeat("b", 3000)))
		add(regular("a", "second"))
	})
	url, _ := serving(t, content)
	stored, err := fetcher(t, t.TempDir(), archive.Options{}).Open(context.Background(), archive.Artifact{URL: url, Digest: sum256(content)})
	check(t, err)
	want := map[string]string{"a": "-rw-r--r-- second", "b": "-rw-r--r-- " + strings.Repeat("b", 3000)}
	if diff := cmp.Diff(want, contents(t, stored)); diff != "" {
		t.Errorf("content differs (-want +got):\n%s", diff)
	}
}

func TestOpenRefusesAddresses(t *testing.T) {
	digest := sum256(nil)
	for _, artifact := range []archive.Artifact{
		{URL: "file:///etc/passwd", Digest: digest}, {URL: "http://", Digest: digest}, {URL: "::", Digest: digest},
		{URL: "http://127.0.0.1/x", Digest: ""}, {URL: "http://127.0.0.1/x", Digest: "sha256:../x"}, {URL: "http://127.0.0.1/x", Digest: "md5:00"},
	} {
		if _, err := fetcher(t, t.TempDir(), archive.Options{Retries: -1}).Open(context.Background(), artifact); err == nil {
			t.Errorf("%+v is accepted", artifact)
		}
	}
}

func TestOpenObeysItsContext(t *testing.T) {
	url, _ := server(t, func(_ int32, w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	f := fetcher(t, t.TempDir(), archive.Options{Retries: 1_000_000, PauseLimit: time.Hour, Timeout: time.Second})
	if _, err := f.Open(ctx, archive.Artifact{URL: url, Digest: sum256(nil)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v, want context.DeadlineExceeded", err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(flux(f))
	f.Add([]byte{})
	kept, err := store.Open(f.TempDir(), store.Options{})
	check(f, err)
	var body atomic.Pointer[[]byte]
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(*body.Load()) }))
	f.Cleanup(s.Close)
	fetcher := archive.New(kept, archive.Options{Retries: -1, MaxContent: 1 << 20})
	f.Fuzz(func(t *testing.T, plain []byte) {
		var packed bytes.Buffer
		deflated := gzip.NewWriter(&packed)
		_, _ = deflated.Write(plain)
		_ = deflated.Close()
		content := packed.Bytes()
		body.Store(&content)
		stored, err := fetcher.Open(context.Background(), archive.Artifact{URL: s.URL, Digest: sum256(content)})
		if err == nil {
			contents(t, stored)
		}
	})
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
