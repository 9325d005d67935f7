package registrytest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The media types of Flux's artifacts.
const (
	ConfigType = "application/vnd.cncf.flux.config.v1+json"
	LayerType  = "application/vnd.cncf.flux.content.v1.tar+gzip"
)

// Options describe a registry; the zero value is one over plain HTTP that lets everybody in.
type Options struct {
	TLS bool
	// Username and Password are asked for where they are set.
	Username, Password string
	// Tokens asks for them at a token service and then for the token.
	Tokens bool
	// Handle is called before the registry; it answers the request itself where it returns true.
	Handle func(w http.ResponseWriter, r *http.Request) bool
}

// Server is a registry.
type Server struct {
	// Host is "127.0.0.1:port".
	Host    string
	options Options
	http    *httptest.Server

	mu   sync.Mutex
	seen []string
}

const token = "token-of-the-registry"

// Serve runs a registry until the test ends.
func Serve(t testing.TB, options Options) *Server {
	t.Helper()
	s := &Server{options: options}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.note(r)
		if options.Handle != nil && options.Handle(w, r) || !s.admit(w, r) {
			return
		}
		inner.ServeHTTP(w, r)
	}))
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0)
	if options.TLS {
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	t.Cleanup(s.http.Close)
	s.Host = s.http.Listener.Addr().String()
	return s
}

// admit asks for the login, as a registry with or without a token service does.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) bool {
	if s.options.Username == "" {
		return true
	}
	username, password, _ := r.BasicAuth()
	known := username == s.options.Username && password == s.options.Password
	switch {
	case s.options.Tokens && r.URL.Path == "/token":
		if !known {
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}`, http.StatusUnauthorized)
			return false
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"token": token})
		return false
	case s.options.Tokens:
		if r.Header.Get("Authorization") == "Bearer "+token {
			return true
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="test"`, s.http.URL))
	case known:
		return true
	default:
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
	}
	http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}`, http.StatusUnauthorized)
	return false
}

func (s *Server) note(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, r.Method+" "+r.URL.Path)
}

// Take returns the requests since the last call.
func (s *Server) Take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

// CA returns the authority of a registry with TLS, in PEM.
func (s *Server) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
}

// URL returns the address of a repository.
func (s *Server) URL(repository string) string { return "oci://" + s.Host + "/" + repository }

// DockerConfig returns the login as docker keeps it.
func (s *Server) DockerConfig() []byte {
	content, _ := json.Marshal(map[string]any{"auths": map[string]any{ //nolint:errchkjson // strings are never refused
		s.Host: map[string]string{"username": s.options.Username, "password": s.options.Password},
	}})
	return content
}

// Remote returns the options for a client of go-containerregistry.
func (s *Server) Remote() []remote.Option {
	options := []remote.Option{remote.WithTransport(s.http.Client().Transport)}
	if s.options.Username != "" {
		options = append(options, remote.WithAuth(&authn.Basic{Username: s.options.Username, Password: s.options.Password}))
	}
	return options
}

// Reference returns the reference of a tag or a digest.
func (s *Server) Reference(t testing.TB, repository, version string) name.Reference {
	t.Helper()
	separator := ":"
	if strings.HasPrefix(version, "sha256:") {
		separator = "@"
	}
	reference, err := name.ParseReference(s.Host + "/" + repository + separator + version)
	check(t, err)
	return reference
}

// Artifact is what is pushed.
type Artifact struct {
	Files       map[string]string
	Annotations map[string]string
	// Layer is pushed in place of Files where it is set, with LayerType or Type as its media type.
	Layer []byte
	Type  string
}

// Push pushes an artifact under a tag and returns its digest.
func (s *Server) Push(t testing.TB, repository, tag string, artifact Artifact) string {
	t.Helper()
	content := artifact.Layer
	if content == nil {
		content = Pack(t, artifact.Files)
	}
	kind := artifact.Type
	if kind == "" {
		kind = LayerType
	}
	image, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), ConfigType),
		mutate.Addendum{Layer: static.NewLayer(content, types.MediaType(kind))})
	check(t, err)
	annotated := mutate.Annotations(image, artifact.Annotations).(v1.Image) //nolint:forcetypeassert // of an image it is an image
	check(t, remote.Write(s.Reference(t, repository, tag), annotated, s.Remote()...))
	digest, err := annotated.Digest()
	check(t, err)
	return digest.String()
}

// Pack makes a compressed archive of files.
func Pack(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	deflated := gzip.NewWriter(&out)
	archive := tar.NewWriter(deflated)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		check(t, archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Size: int64(len(files[path])), Mode: 0o644}))
		_, err := archive.Write([]byte(files[path]))
		check(t, err)
	}
	check(t, archive.Close())
	check(t, deflated.Close())
	return out.Bytes()
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
