package git_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

func TestFailingServer(t *testing.T) {
	const refs, pack = "/info/refs", "POST-only"
	cases := map[string]struct {
		why     string
		on      string
		fault   gittest.Fault
		want    string
		timeout bool
	}{
		"HangsAtOnce":     {"no answer", refs, gittest.Hang(), "timed out after", true},
		"HangsInRefs":     {"half an answer", refs, gittest.HangAfter(60), "timed out after", true},
		"HangsBeforePack": {"no pack", pack, gittest.Hang(), "timed out after", true},
		"HangsMidPack":    {"half a pack", pack, gittest.HangAfter(3000), "timed out after", true},
		"SlowRefs":        {"a byte a second is alive, but of no use", refs, gittest.Slow(time.Second), "timed out after", true},
		"SlowPack":        {"a byte a second is alive, but of no use", pack, gittest.Slow(time.Second), "timed out after", true},
		"GarbageRefs":     {"not Git", refs, gittest.Garbage(), "not Git's protocol", false},
		"GarbagePack":     {"not Git", pack, gittest.Garbage(), "not Git's protocol", false},
		"TruncatedRefs":   {"an end in the middle", refs, gittest.Truncate(100), "closed the connection early", false},
		"TruncatedPack":   {"an end in the middle", pack, gittest.Truncate(3000), "receiving pack: the server closed the connection early", false},
		"EndlessRefs":     {"a bound, not memory", refs, gittest.Endless(), "not Git's protocol", false},
		"HTML":            {"a login page", refs, gittest.Status(200, "<html>"), "not Git's protocol", false},
		"BadGateway":      {"a proxy's page is not shown", refs, gittest.Status(502, "<html>secret"), "the server answers 502 Bad Gateway", false},
		"Forbidden":       {"", refs, gittest.Status(403, "no"), "access denied", false},
		"Gone":            {"", refs, gittest.Status(404, "no"), "repository not found", false},
		"AlteredPack":     {"a bit that flips on the way", pack, gittest.Alter(flipLate), "malformed pack", false},
		"PackForbidden":   {"", pack, gittest.Status(403, "no"), "access denied", false},
	}
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "r")
	repo.Commit(t, manyFiles(100))
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			server.Break(func(r *http.Request) gittest.Fault {
				if (c.on == refs) == (r.Method == http.MethodGet) {
					return c.fault
				}
				return nil
			})
			fetcher := newFetcher(t)
			request := onBranch(repo.URL(), "main")
			request.Timeout = 500 * time.Millisecond
			if !c.timeout {
				request.Timeout = 30 * time.Second
			}
			begun := time.Now()
			_, err := tryFetch(t, fetcher, request)
			if err == nil || !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != fault.Transient {
				t.Errorf("%s: got %v, want a transient error with %q", c.why, err, c.want)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
			if c.timeout != errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, deadline exceeded must be %v", err, c.timeout)
			}
			server.Break(nil)
			if got := fetch(t, fetcher, onBranch(repo.URL(), "main")); len(got.Content) != 100 {
				t.Errorf("after the repair: got %d files", len(got.Content))
			}
		})
	}
}

// flipLate changes a byte in the middle of the pack.
func flipLate(body []byte) []byte {
	body[len(body)/2] ^= 0x40
	return body
}

func TestSilentServers(t *testing.T) {
	address := gittest.Silent(t)
	key, _ := gittest.NewSSHKey(t, "")
	ssh := gittest.ServeSSH(t, t.TempDir(), gittest.SSHOptions{})
	for name, request := range map[string]git.Request{
		"HTTP":      {URL: "http://" + address + "/r.git"},
		"HTTPS":     {URL: "https://" + address + "/r.git"},
		"SSH":       {URL: "ssh://git@" + address + "/r.git", Auth: git.Auth{Identity: key, KnownHosts: ssh.KnownHosts()}},
		"HTTPProxy": {URL: "https://example.org/r.git", Proxy: git.Proxy{URL: "http://" + address}},
		"SOCKS":     {URL: "https://example.org/r.git", Proxy: git.Proxy{URL: "socks5://" + address}},
		"SSHProxy": {
			URL: "ssh://git@example.org/r.git", Proxy: git.Proxy{URL: "http://" + address},
			Auth: git.Auth{Identity: key, KnownHosts: ssh.KnownHosts()},
		},
		"SSHOverSOCKS": {
			URL: "ssh://git@example.org/r.git", Proxy: git.Proxy{URL: "socks5://" + address},
			Auth: git.Auth{Identity: key, KnownHosts: ssh.KnownHosts()},
		},
	} {
		t.Run(name, func(t *testing.T) {
			request.Timeout = 300 * time.Millisecond
			begun := time.Now()
			_, err := tryFetch(t, newFetcher(t), request)
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "timed out after 300ms") {
				t.Errorf("got %v", err)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestCancelEndsAFetch(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "r")
	repo.Commit(t, map[string]string{"a": "1"})
	ctx, cancel := context.WithCancel(context.Background())
	server.Break(gittest.Always(func(w http.ResponseWriter, r *http.Request, s *gittest.Server) {
		cancel()
		gittest.Hang()(w, r, s)
	}))
	_, err := newFetcher(t).Fetch(ctx, onBranch(repo.URL(), "main"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWaitingForAnotherFetchObeysTheTimeout(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "r")
	repo.Commit(t, map[string]string{"a": "1"})
	entered := make(chan struct{}, 1)
	server.Break(gittest.Always(func(w http.ResponseWriter, r *http.Request, s *gittest.Server) {
		entered <- struct{}{}
		gittest.Hang()(w, r, s)
	}))
	fetcher := newFetcher(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := fetcher.Fetch(ctx, onBranch(repo.URL(), "main"))
		done <- err
	}()
	<-entered
	request := onBranch(repo.URL(), "main")
	request.Timeout = 100 * time.Millisecond
	_, err := tryFetch(t, fetcher, request)
	if err == nil || !strings.Contains(err.Error(), "waiting for another fetch of the same repository: timed out after 100ms") {
		t.Errorf("got %v", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestServerThatStumblesOverWhatWeHave(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "r")
	repo.Commit(t, map[string]string{"a": "1"})
	fetcher := newFetcher(t)
	fetch(t, fetcher, onBranch(repo.URL(), "main"))
	repo.Commit(t, map[string]string{"a": "2"})
	server.Reset()
	server.Break(func(r *http.Request) gittest.Fault {
		if r.Method == http.MethodPost && server.Count("/git-upload-pack") == 1 {
			return func(w http.ResponseWriter, _ *http.Request, _ *gittest.Server) {
				w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
				_, _ = w.Write([]byte("0014ERR lost a commit"[:20]))
			}
		}
		return nil
	})
	if got := fetch(t, fetcher, onBranch(repo.URL(), "main")); got.Content["a"] != "2" {
		t.Errorf("got %v", got.Content)
	}
}
