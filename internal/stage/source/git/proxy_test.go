package git_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

func TestProxies(t *testing.T) {
	plain := gittest.Serve(t, gittest.Options{})
	plain.Repository(t, "r").Commit(t, map[string]string{"a": "1"})
	secure := gittest.Serve(t, gittest.Options{TLS: true})
	secure.Repository(t, "r").Commit(t, map[string]string{"a": "1"})
	key, public := gittest.NewSSHKey(t, "")
	ssh := gittest.ServeSSH(t, plain.Root(), gittest.SSHOptions{Key: public})
	remotes := map[string]git.Request{
		"HTTP":  {URL: plain.Address + "/r.git"},
		"HTTPS": {URL: secure.Address + "/r.git", Auth: git.Auth{CA: secure.CA()}},
		"SSH":   {URL: ssh.URL("r"), Auth: git.Auth{Identity: key, KnownHosts: ssh.KnownHosts()}},
	}
	for name, request := range remotes {
		for _, scheme := range []string{"http", "socks5"} {
			for _, user := range []string{"", "user"} {
				t.Run(name+"/"+scheme+"/"+user, func(t *testing.T) {
					password := ""
					if user != "" {
						password = secret
					}
					proxy := gittest.ServeProxy(t, user, password)
					request.Reference.Branch = "main"
					request.Proxy = git.Proxy{URL: scheme + "://" + proxy.Address}
					if user != "" {
						_, err := tryFetch(t, newFetcher(t), request)
						if err == nil {
							t.Error("without credentials: got no error")
						}
						request.Proxy.Username, request.Proxy.Password = "user", secret
					}
					got := fetch(t, newFetcher(t), request)
					if got.Content["a"] != "1" || len(proxy.Targets()) == 0 {
						t.Errorf("got %v through %v", got.Content, proxy.Targets())
					}
				})
			}
		}
	}
}

func TestProxyErrors(t *testing.T) {
	for _, raw := range []string{"ftp://x", "http://", "socks4://x", "http://user:s3cr3t@%zz"} {
		request := git.Request{URL: "https://example.org/r.git", Proxy: git.Proxy{URL: raw}}
		_, err := tryFetch(t, newFetcher(t), request)
		if err == nil || !strings.Contains(err.Error(), "malformed proxy URL") || strings.Contains(err.Error(), "s3cr3t") ||
			fault.KindOf(err) != fault.Stalled {
			t.Errorf("%s: got %v", raw, err)
		}
	}
}

func TestPolicyOfDialIsObeyed(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	server.Repository(t, "r").Commit(t, map[string]string{"a": "1"})
	key, _ := gittest.NewSSHKey(t, "")
	ssh := gittest.ServeSSH(t, server.Root(), gittest.SSHOptions{})
	refused := errors.New("address is not allowed")
	fetcher := git.New(git.Options{Dir: t.TempDir(), Dial: func(context.Context, string, string) (net.Conn, error) { return nil, refused }})
	for name, request := range map[string]git.Request{
		"HTTP":  {URL: server.Address + "/r.git"},
		"SSH":   {URL: ssh.URL("r"), Auth: git.Auth{Identity: key, KnownHosts: ssh.KnownHosts()}},
		"Proxy": {URL: server.Address + "/r.git", Proxy: git.Proxy{URL: "socks5://" + server.Address[len("http://"):]}},
	} {
		if _, err := tryFetch(t, fetcher, request); !errors.Is(err, refused) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestDefaultProxy(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	server.Repository(t, "r").Commit(t, map[string]string{"a": "1"})
	proxy := gittest.ServeProxy(t, "", "")
	fetcher := git.New(git.Options{
		Dir:       t.TempDir(),
		UserAgent: "git/test",
		Proxy:     func(*http.Request) (*url.URL, error) { return url.Parse("http://" + proxy.Address) },
	})
	fetch(t, fetcher, onBranch(server.Address+"/r.git", "main"))
	if len(proxy.Targets()) == 0 || server.Requests()[0].UserAgent != "git/test" {
		t.Errorf("got targets %v and agent %q", proxy.Targets(), server.Requests()[0].UserAgent)
	}
}
