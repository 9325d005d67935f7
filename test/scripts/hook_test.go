package scripts_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// hook starts a web service until the script ends, and puts its address into a file for $HOOK. It
// quotes what it is asked; /denied it does not let pass.
func hook(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: hook FILE")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/denied" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = w.Write([]byte(r.RequestURI + " " + r.Header.Get("X-Token") + " " + string(body)))
	}))
	ts.Defer(server.Close)
	text := strings.ReplaceAll(ts.ReadFile(args[0]), "$HOOK", server.URL)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}
