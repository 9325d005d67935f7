package git_test

import (
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

const secret = "s3cr3t-p4ss/word"

func TestHTTPAccess(t *testing.T) {
	basic := gittest.Options{Username: "git", Password: secret}
	cases := map[string]struct {
		why     string
		options gittest.Options
		auth    git.Auth
		user    string // in the URL
		want    string // part of the error; "" is success
		kind    fault.Kind
	}{
		"Basic":          {why: "user and password", options: basic, auth: git.Auth{Username: "git", Password: secret}},
		"BasicInURL":     {why: "the URL may hold them", options: basic, user: "git:s3cr3t-p4ss%2Fword@"},
		"SecretFirst":    {why: "the secret beats the URL", options: basic, user: "x:y@", auth: git.Auth{Username: "git", Password: secret}},
		"WrongPassword":  {why: "may be mended at the server", options: basic, auth: git.Auth{Username: "git", Password: secret + "!"}, want: "authentication failed"},
		"WrongInURL":     {why: "never shown", options: basic, user: "git:" + "wrong-but-secret@", want: "authentication failed"},
		"NoPassword":     {why: "", options: basic, want: "authentication failed"},
		"Bearer":         {why: "a token", options: gittest.Options{BearerToken: secret}, auth: git.Auth{BearerToken: secret}},
		"BearerFirst":    {why: "a token beats a password", options: gittest.Options{BearerToken: secret}, auth: git.Auth{BearerToken: secret, Username: "u", Password: "p"}},
		"BasicOverTLS":   {why: "own authority", options: gittest.Options{TLS: true, Username: "git", Password: secret}, auth: git.Auth{Username: "git", Password: secret}},
		"UnknownCA":      {why: "the system does not know it", options: gittest.Options{TLS: true}, want: "certificate signed by unknown authority"},
		"BadCA":          {why: "not PEM", options: gittest.Options{TLS: true}, auth: git.Auth{CA: []byte("x")}, want: "no PEM certificate", kind: fault.Stalled},
		"ClientCert":     {why: "mutual TLS", options: gittest.Options{TLS: true, ClientCert: true}},
		"NoClientCert":   {why: "the server wants one, and TLS may hang up before it says so", options: gittest.Options{TLS: true, ClientCert: true}, want: "fetching branch 'main'"},
		"HalfClientCert": {why: "a certificate without its key", options: gittest.Options{TLS: true}, auth: git.Auth{ClientCert: redact.Bytes("x")}, want: "must come together", kind: fault.Stalled},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			server := gittest.Serve(t, c.options)
			repo := server.Repository(t, "r")
			repo.Commit(t, map[string]string{"a": "1"})
			if c.options.TLS && c.auth.CA == nil && name != "UnknownCA" {
				c.auth.CA = server.CA()
			}
			if name == "ClientCert" {
				cert, key := server.ClientPair(t)
				c.auth.ClientCert, c.auth.ClientKey = cert, key
			}
			request := git.Request{URL: strings.Replace(repo.URL(), "://", "://"+c.user, 1), Reference: git.Reference{Branch: "main"}, Auth: c.auth}
			got, err := tryFetch(t, newFetcher(t), request)
			if c.want == "" && (err != nil || got.Content["a"] != "1") {
				t.Errorf("%s: got %v and %v", c.why, got.Content, err)
			}
			if c.want == "" {
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != c.kind {
				t.Fatalf("%s: got %v of kind %v, want %q of kind %v", c.why, err, fault.KindOf(err), c.want, c.kind)
			}
			if strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "wrong-but") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestCredentialsStayAtTheirHost(t *testing.T) {
	other := gittest.Serve(t, gittest.Options{})
	elsewhere := other.Repository(t, "r")
	elsewhere.Commit(t, map[string]string{"a": "elsewhere"})
	server := gittest.Serve(t, gittest.Options{})
	server.Break(gittest.Always(gittest.Redirect(other.Address)))
	for name, auth := range map[string]git.Auth{
		"Basic":  {Username: "git", Password: secret},
		"Bearer": {BearerToken: secret},
	} {
		t.Run(name, func(t *testing.T) {
			other.Reset()
			server.Reset()
			request := git.Request{URL: server.Address + "/r.git", Reference: git.Reference{Branch: "main"}, Auth: auth}
			got := fetch(t, newFetcher(t), request)
			if got.Content["a"] != "elsewhere" {
				t.Errorf("got %v", got.Content)
			}
			if server.Requests()[0].Authorization == "" {
				t.Error("the server itself got no credentials")
			}
			if len(other.Requests()) != 2 {
				t.Errorf("got %d requests, want references and pack", len(other.Requests()))
			}
			for _, request := range other.Requests() {
				if request.Authorization != "" {
					t.Errorf("credentials followed to another host: %+v", request)
				}
			}
		})
	}
}

func TestRedirects(t *testing.T) {
	plain := gittest.Serve(t, gittest.Options{})
	plain.Repository(t, "r").Commit(t, map[string]string{"a": "1"})
	secure := gittest.Serve(t, gittest.Options{TLS: true})
	secure.Repository(t, "r").Commit(t, map[string]string{"a": "1"})
	to := func(target string) gittest.Fault {
		return func(w http.ResponseWriter, r *http.Request, _ *gittest.Server) {
			http.Redirect(w, r, target, http.StatusFound)
		}
	}
	for name, c := range map[string]struct {
		why, want string
		break_    func(*http.Request) gittest.Fault
	}{
		"Downgrade":  {"https to http shows everything", "from https to http", gittest.Always(gittest.Redirect(plain.Address))},
		"Elsewhere":  {"only to a repository", "not a Git repository", gittest.Always(to(secure.Address + "/login?token=" + "s3cr3t"))},
		"OtherWorld": {"no other scheme", "from https to http", gittest.Always(to("ftp://127.0.0.1/r.git/info/refs"))},
		"Loop":       {"an end", "too often", gittest.Always(gittest.Redirect(secure.Address))},
		"Pack": {"a request with content stays", "must not be", func(r *http.Request) gittest.Fault {
			if r.Method == http.MethodPost {
				return gittest.Redirect(plain.Address)
			}
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			secure.Break(c.break_)
			request := onBranch(secure.Address+"/r.git", "main")
			request.Auth.CA = secure.CA()
			_, err := tryFetch(t, newFetcher(t), request)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("%s: got %v, want %q", c.why, err, c.want)
			}
		})
	}
}

func TestErrorsShowNoSecret(t *testing.T) {
	address := gittest.Silent(t)
	for _, url := range []string{
		"https://user:s3cr3t@host:99999/x",
		"https://user:s3cr3t@/x",
		"https://user:s3cr3t@host/%zz",
		"gopher://user:s3cr3t@host/x",
		"https://host/x\x00?token=s3cr3t",
		"http://user:s3cr3t@127.0.0.1:1/x.git?private_token=s3cr3t",
		"https://user:s3cr3t@" + address + "/x.git?private_token=s3cr3t",
		"ssh://user:s3cr3t@" + address + "/x.git",
	} {
		request := git.Request{URL: url, Timeout: 200e6}
		_, err := tryFetch(t, newFetcher(t), request)
		if err == nil || strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "user") {
			t.Errorf("got %v", err)
		}
	}
}

func TestCredentialsDoNotShareACache(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{Username: "git", Password: secret})
	repo := server.Repository(t, "r")
	pin := repo.Commit(t, map[string]string{"a": "1"})
	dir := t.TempDir()
	fetcher := git.New(git.Options{Dir: dir})
	pinned := git.Request{URL: repo.URL(), Reference: git.Reference{Commit: pin}, Auth: git.Auth{Username: "git", Password: secret}}
	fetch(t, fetcher, pinned)
	for name, auth := range map[string]git.Auth{
		"Anonymous": {}, "Other": {Username: "git", Password: "guess"}, "Shifted": {Username: redact.Text("git" + secret[:1]), Password: redact.Text(secret[1:])},
	} {
		stranger := pinned
		stranger.Auth = auth
		if _, err := tryFetch(t, fetcher, stranger); err == nil {
			t.Errorf("%s: got the cached commit without the right to read it", name)
		}
	}
	server.Reset()
	again := git.New(git.Options{Dir: dir}) // the same name after a restart
	if got := fetch(t, again, pinned); got.Content["a"] != "1" || len(server.Requests()) != 0 {
		t.Errorf("after a restart: %d requests, want none", len(server.Requests()))
	}
	assertNoSecretOnDisk(t, dir)
}

func assertNoSecretOnDisk(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content)+path, "s3cr3t") {
			t.Errorf("%s holds a secret", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSSHAccess(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "team/r")
	repo.Commit(t, map[string]string{"a": "1"})
	key, public := gittest.NewSSHKey(t, "")
	stranger, _ := gittest.NewSSHKey(t, "")
	locked, lockedPublic := gittest.NewSSHKey(t, secret)
	ssh := gittest.ServeSSH(t, server.Root(), gittest.SSHOptions{Key: public, Password: secret})
	lockedSSH := gittest.ServeSSH(t, server.Root(), gittest.SSHOptions{Key: lockedPublic})
	block, _ := pem.Decode(key)
	broken := pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes[:40]})
	cases := map[string]struct {
		why, url, want string
		auth           git.Auth
		kind           fault.Kind
	}{
		"Key":           {why: "", url: ssh.URL("team/r"), auth: git.Auth{Identity: key, KnownHosts: ssh.KnownHosts()}},
		"LockedKey":     {why: "", url: lockedSSH.URL("team/r"), auth: git.Auth{Identity: locked, IdentityPassword: secret, KnownHosts: lockedSSH.KnownHosts()}},
		"Password":      {why: "", url: ssh.URL("team/r"), auth: git.Auth{Password: secret, KnownHosts: ssh.KnownHosts()}},
		"StrangeKey":    {why: "", url: ssh.URL("team/r"), auth: git.Auth{Identity: stranger, KnownHosts: ssh.KnownHosts()}, want: "authentication failed"},
		"NoKnownHosts":  {why: "never trust on first use", url: ssh.URL("team/r"), auth: git.Auth{Identity: key}, want: "needs known_hosts", kind: fault.Stalled},
		"OtherHostKey":  {why: "fails closed", url: ssh.URL("team/r"), auth: git.Auth{Identity: key, KnownHosts: ssh.OtherKnownHosts(t)}, want: "is not the one in known_hosts"},
		"UnknownHost":   {why: "fails closed", url: ssh.URL("team/r"), auth: git.Auth{Identity: key, KnownHosts: lockedSSH.KnownHosts()}, want: "known_hosts has no key of"},
		"BadKnownHosts": {why: "", url: ssh.URL("team/r"), auth: git.Auth{Identity: key, KnownHosts: []byte("what")}, want: "malformed", kind: fault.Stalled},
		"NoIdentity":    {why: "", url: ssh.URL("team/r"), auth: git.Auth{KnownHosts: ssh.KnownHosts()}, want: "needs an identity", kind: fault.Stalled},
		"BrokenKey":     {why: "", url: ssh.URL("team/r"), auth: git.Auth{Identity: broken, KnownHosts: ssh.KnownHosts()}, want: "reading the SSH identity", kind: fault.Stalled},
		"LockedNoPass":  {why: "", url: ssh.URL("team/r"), auth: git.Auth{Identity: locked, KnownHosts: ssh.KnownHosts()}, want: "there is no password", kind: fault.Stalled},
		"WrongPass":     {why: "", url: ssh.URL("team/r"), auth: git.Auth{Identity: locked, IdentityPassword: "x", KnownHosts: ssh.KnownHosts()}, want: "reading the SSH identity", kind: fault.Stalled},
		"NoRepository":  {why: "", url: ssh.URL("none"), auth: git.Auth{Identity: key, KnownHosts: ssh.KnownHosts()}, want: "repository not found"},
		"Quoting":       {why: "one argument, whatever is in it", url: ssh.URL("x';%20echo%20!$(id)'"), auth: git.Auth{Identity: key, KnownHosts: ssh.KnownHosts()}, want: ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := tryFetch(t, newFetcher(t), git.Request{URL: c.url, Reference: git.Reference{Branch: "main"}, Auth: c.auth})
			if name == "Quoting" {
				sessions := ssh.Sessions()
				if last := sessions[len(sessions)-1]; last != `git-upload-pack '/x'\''; echo '\!'$(id)'\''.git'` {
					t.Errorf("got command %s", last)
				}
				return
			}
			if c.want == "" && (err != nil || got.Content["a"] != "1") {
				t.Errorf("got %v and %v", got.Content, err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != c.kind) {
				t.Errorf("%s: got %v of kind %v, want %q of kind %v", c.why, err, fault.KindOf(err), c.want, c.kind)
			}
		})
	}
}

func TestSSHFetchesOnlyWhatChanged(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "r")
	repo.Commit(t, manyFiles(200))
	key, public := gittest.NewSSHKey(t, "")
	ssh := gittest.ServeSSH(t, server.Root(), gittest.SSHOptions{Key: public})
	request := onBranch(ssh.URL("r"), "main")
	request.Auth = git.Auth{Identity: key, KnownHosts: ssh.KnownHosts()}
	fetcher := newFetcher(t)
	first := fetch(t, fetcher, request)
	request.Known = first.Revision
	if again := fetch(t, fetcher, request); !again.Unchanged || len(ssh.Sessions()) != 2 {
		t.Errorf("got %+v in %d sessions", again.Result, len(ssh.Sessions()))
	}
	repo.Commit(t, map[string]string{"dir01/file001.yaml": "new\n"})
	if got := fetch(t, fetcher, request); got.Content["dir01/file001.yaml"] != "new\n" || len(ssh.Sessions()) != 3 {
		t.Errorf("got %+v in %d sessions", got.Result, len(ssh.Sessions()))
	}
}
