package gittest

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Fault answers a request in place of Git. A nil Fault means that the request goes well.
type Fault func(w http.ResponseWriter, r *http.Request, s *Server)

// On limits a fault to the requests whose path and query contain text.
func On(text string, fault Fault) func(*http.Request) Fault {
	return func(r *http.Request) Fault {
		if strings.Contains(r.URL.RequestURI(), text) {
			return fault
		}
		return nil
	}
}

// Always lets every request go wrong in the same way.
func Always(fault Fault) func(*http.Request) Fault {
	return func(*http.Request) Fault { return fault }
}

// Hang never answers; it ends when the client leaves or the test ends.
func Hang() Fault {
	return func(_ http.ResponseWriter, r *http.Request, s *Server) { wait(r, s) }
}

// HangAfter sends the first n bytes of the true answer and then nothing, without an end.
func HangAfter(n int) Fault {
	return func(w http.ResponseWriter, r *http.Request, s *Server) {
		_, _ = w.Write(truth(w, r, s, n))
		_ = http.NewResponseController(w).Flush()
		wait(r, s)
	}
}

// Truncate sends the first n bytes of the true answer and ends the response as if it were whole.
func Truncate(n int) Fault {
	return func(w http.ResponseWriter, r *http.Request, s *Server) {
		_, _ = w.Write(truth(w, r, s, n))
	}
}

// Slow sends the true answer byte by byte, with a pause after each.
func Slow(pause time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, s *Server) {
		for _, b := range truth(w, r, s, -1) {
			if _, err := w.Write([]byte{b}); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(pause):
			case <-r.Context().Done():
				return
			case <-s.done:
				return
			}
		}
	}
}

// Garbage sends bytes that are not Git, under Git's content type.
func Garbage() Fault {
	return func(w http.ResponseWriter, r *http.Request, _ *Server) {
		w.Header().Set("Content-Type", contentType(r))
		_, _ = w.Write(bytes.Repeat([]byte("\x00garbage\xff"), 1000))
	}
}

// Endless sends bytes without an end.
func Endless() Fault {
	return func(w http.ResponseWriter, r *http.Request, _ *Server) {
		w.Header().Set("Content-Type", contentType(r))
		chunk := []byte("fff4" + strings.Repeat("x", 0xfff0))
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
}

// Status answers with an HTTP status and a body.
func Status(code int, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ *Server) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// Redirect sends the client to the same path and query at another base URL.
func Redirect(base string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ *Server) {
		http.Redirect(w, r, base+r.URL.RequestURI(), http.StatusFound)
	}
}

// Alter sends what change makes of the true answer.
func Alter(change func([]byte) []byte) Fault {
	return func(w http.ResponseWriter, r *http.Request, s *Server) {
		_, _ = w.Write(change(truth(w, r, s, -1)))
	}
}

// truth asks Git, copies the headers, and returns the first n bytes of the body, or all for -1.
func truth(w http.ResponseWriter, r *http.Request, s *Server, n int) []byte {
	recorder := httptest.NewRecorder()
	s.backend.ServeHTTP(recorder, r)
	for key, values := range recorder.Header() {
		if key != "Content-Length" {
			w.Header()[key] = values
		}
	}
	body := recorder.Body.Bytes()
	if n >= 0 && n < len(body) {
		return body[:n]
	}
	return body
}

func contentType(r *http.Request) string {
	if strings.HasSuffix(r.URL.Path, "/info/refs") {
		return "application/x-git-upload-pack-advertisement"
	}
	return "application/x-git-upload-pack-result"
}

func wait(r *http.Request, s *Server) {
	select {
	case <-r.Context().Done():
	case <-s.done:
	}
}

// Silent returns the address of a listener that accepts connections and never says a word.
func Silent(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listening: %v", err)
	}
	done := make(chan struct{})
	go func() {
		var held []net.Conn
		defer func() {
			for _, conn := range held {
				_ = conn.Close()
			}
			close(done)
		}()
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			held = append(held, conn)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String()
}

func silent() *log.Logger { return log.New(io.Discard, "", 0) }
