package store_test

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"holdfast.dev/holdfast/internal/store"
)

const source = "gitrepository/flux-system/platform"

func TestHandlerServesWhatIsPublished(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, store.Options{})
	stored := put(t, s, sample.snapshot("1"), nil)
	path := store.PathOf("GitRepository", "flux-system", "platform", "5cb2")
	check(t, s.Publish(path, stored.Digest()))
	archive, err := os.ReadFile(archiveOf(dir, stored))
	check(t, err)
	server := httptest.NewServer(s.Handler())
	defer server.Close()

	cases := map[string]struct {
		why     string
		method  string
		path    string
		header  http.Header
		status  int
		content string
	}{
		"Get":         {"the artifact", "GET", "/" + source + "/5cb2.tar.gz", nil, 200, string(archive)},
		"Head":        {"its headers", "HEAD", "/" + source + "/5cb2.tar.gz", nil, 200, ""},
		"Latest":      {"the current one by name", "GET", "/" + source + "/latest.tar.gz", nil, 200, string(archive)},
		"Range":       {"resumed downloads", "GET", "/" + source + "/5cb2.tar.gz", http.Header{"Range": {"bytes=2-9"}}, 206, string(archive[2:10])},
		"NotModified": {"same tag", "GET", "/" + source + "/5cb2.tar.gz", http.Header{"If-None-Match": {`"` + stored.Digest() + `"`}}, 304, ""},
		"Post":        {"read-only", "POST", "/" + source + "/5cb2.tar.gz", nil, 405, "method not allowed\n"},
		"Root":        {"no listing", "GET", "/", nil, 404, "404 page not found\n"},
		"Folder":      {"no listing", "GET", "/" + source + "/", nil, 404, "404 page not found\n"},
		"Unpublished": {"trees are not served by digest", "GET", "/trees/" + strings.TrimPrefix(stored.Digest(), "sha256:") + ".tar.gz", nil, 404, "404 page not found\n"},
		"Traversal":   {"never joined to a folder", "GET", "/" + source + "/..%2f..%2f..%2f..%2fpublic/" + source + "/5cb2.tar.gz", nil, 404, "404 page not found\n"},
		"NoLatest":    {"another source", "GET", "/gitrepository/flux-system/other/latest.tar.gz", nil, 404, "404 page not found\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			request, err := http.NewRequest(c.method, server.URL+c.path, nil)
			check(t, err)
			for key, values := range c.header {
				request.Header[key] = values
			}
			response, err := http.DefaultTransport.RoundTrip(request)
			check(t, err)
			content, err := io.ReadAll(response.Body)
			check(t, errors.Join(err, response.Body.Close()))
			if response.StatusCode != c.status || string(content) != c.content {
				t.Errorf("%s: status %d and %d bytes, want %d and %d bytes", c.why, response.StatusCode, len(content), c.status, len(c.content))
			}
			if c.status == 200 && (response.Header.Get("ETag") != `"`+stored.Digest()+`"` || response.Header.Get("Content-Type") != "application/gzip") {
				t.Errorf("headers are %v", response.Header)
			}
		})
	}
}

func TestPublishRefuses(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	stored := put(t, s, sample.snapshot("1"), nil)
	for _, name := range []string{
		"", "a.tar.gz", "kind/namespace/name/file", "kind/../name/x.tar.gz", "/kind/namespace/name/x.tar.gz",
		"kind/namespace/name/deep/x.tar.gz", "kind/namespace/name/latest.tar.gz", "kind/namespace/name/.tar.gz", `kind/namespace/name/..\x.tar.gz`,
	} {
		if err := s.Publish(name, stored.Digest()); err == nil {
			t.Errorf("path %q is accepted", name)
		}
	}
	if err := s.Publish(source+"/x.tar.gz", "sha256:"+strings.Repeat("0", 64)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("publishing nothing gives %v, want fs.ErrNotExist", err)
	}
	if err := s.Retract("gitrepository/flux-system"); err == nil {
		t.Error("retracting a whole namespace is accepted")
	}
}

// clock is a clock that stands still until it is moved.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func TestPruneKeepsTwoRecordsForAMinute(t *testing.T) {
	now := &clock{time.Now()}
	dir := t.TempDir()
	s := open(t, dir, store.Options{Now: now.now})
	publish := func(file string) {
		check(t, s.Publish(source+"/"+file+".tar.gz", put(t, s, files{"file": file}.snapshot(file), nil).Digest()))
		now.Time = now.Add(10 * time.Second)
	}
	publish("1")
	publish("2")
	publish("3")
	prune(t, s)
	wantServed(t, s, map[string]bool{"1": false, "2": true, "3": true, "latest": true})
	wantArchives(t, dir, 3) // the first one was used less than a minute ago

	now.Time = now.Add(2 * time.Minute)
	prune(t, s)
	wantServed(t, s, map[string]bool{"2": false, "3": true, "latest": true})
	wantArchives(t, dir, 1)

	now.Time = now.Add(1000 * time.Hour)
	prune(t, s)
	wantServed(t, s, map[string]bool{"3": true})

	check(t, s.Retract(source))
	wantServed(t, s, map[string]bool{"3": false, "latest": false})
	prune(t, s)
	wantArchives(t, dir, 0)
}

func TestPublicationsSurviveARestart(t *testing.T) {
	now := &clock{time.Now()}
	dir := t.TempDir()
	before := open(t, dir, store.Options{Now: now.now})
	for i, file := range []string{"1", "2"} {
		check(t, before.Publish(source+"/"+file+".tar.gz", put(t, before, files{"file": file}.snapshot(file), nil).Digest()))
		stamp := now.Add(time.Duration(i-2) * time.Second)
		check(t, os.Chtimes(filepath.Join(dir, "public", source, file+".tar.gz"), stamp, stamp))
	}
	check(t, before.Close())

	s := open(t, dir, store.Options{Now: now.now})
	wantServed(t, s, map[string]bool{"1": true, "2": true, "latest": true})
	now.Time = now.Add(2 * time.Minute)
	prune(t, s)
	wantServed(t, s, map[string]bool{"1": false, "2": true, "latest": true})
}

func TestPruneNeverTakesAHeldTree(t *testing.T) {
	now := &clock{time.Now()}
	dir := t.TempDir()
	s := open(t, dir, store.Options{Now: now.now})
	held := put(t, s, sample.snapshot("1"), nil)
	now.Time = now.Add(time.Hour)
	prune(t, s)
	wantArchives(t, dir, 1)
	if _, err := s.Get(held.Digest()); err != nil {
		t.Error(err)
	}
	runtime.KeepAlive(held)

	now.Time = now.Add(time.Hour)
	prune(t, s)
	wantArchives(t, dir, 0)
}

func TestPruneKeepsForeignTreesForADay(t *testing.T) {
	now := &clock{time.Now()}
	dir := t.TempDir()
	s := open(t, dir, store.Options{Now: now.now})
	foreign := "sha512:" + strings.Repeat("ab", 64)
	check(t, s.Alias(foreign, put(t, s, sample.snapshot("1"), nil).Digest()))
	now.Time = now.Add(20 * time.Hour)
	prune(t, s)
	if _, err := s.Get(foreign); err != nil {
		t.Fatal(err)
	}
	now.Time = now.Add(20 * time.Hour) // less than a day since the last use
	prune(t, s)
	wantArchives(t, dir, 1)
	now.Time = now.Add(5 * time.Hour)
	prune(t, s)
	wantArchives(t, dir, 0)
	if left, _ := filepath.Glob(filepath.Join(dir, "aliases", "*")); len(left) != 0 {
		t.Errorf("aliases left: %v", left)
	}
}

// prune prunes when the collector has taken what nobody holds any more.
func prune(t *testing.T, s *store.Store) {
	t.Helper()
	runtime.GC()
	runtime.GC()
	check(t, s.Prune())
}

func wantServed(t *testing.T, s *store.Store, want map[string]bool) {
	t.Helper()
	for file, served := range want {
		recorder := httptest.NewRecorder()
		s.Handler().ServeHTTP(recorder, httptest.NewRequest("GET", "/"+source+"/"+file+".tar.gz", nil))
		if got := recorder.Code == http.StatusOK; got != served {
			t.Errorf("%s.tar.gz answers %d, want served: %t", file, recorder.Code, served)
		}
	}
}

func wantArchives(t *testing.T, dir string, want int) {
	t.Helper()
	if got, _ := filepath.Glob(filepath.Join(dir, "trees", "*.tar.gz")); len(got) != want {
		t.Errorf("%d archives on disk, want %d", len(got), want)
	}
}
