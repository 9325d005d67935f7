package store

import (
	"context"
	"io"
	"io/fs"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/model/tree"
)

func FuzzDecodeRecord(f *testing.F) {
	good, err := encodeRecord(&body{digest: "sha256:x", index: tree.NewIndex([]tree.Entry{{Path: "a"}}), places: make([]place, 1)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("\n{}"))
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := decodeRecord(content, "sha256:x")
		if err == nil && len(got.places) != len(got.index.Entries()) {
			t.Error("an index with a different number of places was accepted")
		}
	})
}

// FuzzPut stores what a hostile source might name its files, and reads it back.
func FuzzPut(f *testing.F) {
	f.Add("a/b", "content", "a")
	f.Add("../x", "", "x")
	f.Add("ü/\xff", "y", "ü")
	store, err := Open(f.TempDir(), Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, first, content, second string) {
		entries := []tree.Entry{
			{Path: first, Hash: "1:" + content, Size: int64(len(content)), Mode: 0o644},
			{Path: second, Hash: "1:" + content, Size: int64(len(content)), Mode: 0o755},
		}
		stored, err := store.Put(context.Background(), Snapshot{
			Entries: entries,
			Open:    func(tree.Entry) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
		}, nil)
		if err != nil {
			return
		}
		for _, entry := range stored.Index().Entries() {
			if !fs.ValidPath(entry.Path) {
				t.Errorf("path %q was accepted", entry.Path)
			}
			if got, err := stored.Read(entry.Path); err != nil || string(got) != content {
				t.Errorf("%q reads as %q (%v), want %q", entry.Path, got, err, content)
			}
		}
	})
}

func FuzzHandler(f *testing.F) {
	f.Add("/kind/namespace/name/latest.tar.gz")
	f.Add("/kind/namespace/name/../../../../etc/passwd")
	store, err := Open(f.TempDir(), Options{})
	if err != nil {
		f.Fatal(err)
	}
	stored, err := store.Put(context.Background(), Snapshot{}, nil)
	if err != nil {
		f.Fatal(err)
	}
	if err := store.Publish("kind/namespace/name/file.tar.gz", stored.Digest()); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		request := httptest.NewRequest("GET", "/", nil)
		request.URL.Path = name
		recorder := httptest.NewRecorder()
		store.Handler().ServeHTTP(recorder, request)
		if recorder.Code == 200 && path.Dir(strings.TrimPrefix(name, "/")) != "kind/namespace/name" {
			t.Errorf("%q is served", name)
		}
	})
}
