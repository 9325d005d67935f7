package store

import (
	"net/http"
	"strings"
	"time"
)

// Handler serves the published archives as Flux's artifact server does: GET and HEAD of exactly the
// published paths, with ranges and entity tags, and no listing of anything.
func (s *Store) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		// The path is only ever looked up, never joined: it cannot leave what is published.
		digest, found := s.lookup(strings.TrimPrefix(r.URL.Path, "/"))
		if !found {
			http.NotFound(w, r)
			return
		}
		file, err := s.openVerified(digest)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer func() { _ = file.Close() }()
		w.Header().Set("Content-Type", "application/gzip")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache") // a path may get new content: ask with the tag
		w.Header().Set("ETag", `"`+digest+`"`)
		http.ServeContent(w, r, "", time.Time{}, file)
	})
}
