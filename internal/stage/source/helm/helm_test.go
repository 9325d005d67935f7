package helm_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/source/helm"
	"holdfast.dev/holdfast/internal/stage/source/helm/index"
	"holdfast.dev/holdfast/internal/stage/source/transport"
)

// pack makes a chart as helm package does.
func pack(t *testing.T, chart string, files map[string]string) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		must(t, archive.WriteHeader(&tar.Header{Name: chart + "/" + name, Mode: 0o644, Size: int64(len(files[name]))}))
		_, err := archive.Write([]byte(files[name]))
		must(t, err)
	}
	must(t, archive.Close())
	must(t, zipped.Close())
	return packed.Bytes()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func chartYAML(name, version string) string {
	return fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\n", name, version)
}

// repository is a Helm repository over TLS that wants a password.
type repository struct {
	*httptest.Server
	packed []byte
	index  string
	asked  []string
	leaked bool // somebody else got the password
	other  *httptest.Server
}

func serve(t *testing.T) *repository {
	t.Helper()
	r := &repository{packed: pack(t, "web", map[string]string{"Chart.yaml": chartYAML("web", "1.2.0"), "values.yaml": "a: 1\n"})}
	sum := sha256.Sum256(r.packed)
	r.other = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if _, _, found := request.BasicAuth(); found {
			r.leaked = true
		}
		_, _ = w.Write(r.packed)
	}))
	t.Cleanup(r.other.Close)
	r.index = fmt.Sprintf("apiVersion: v1\nentries:\n  web:\n  - version: 1.2.0\n    digest: %s\n    urls:\n    - charts/web.tgz\n  - version: 1.1.0\n    digest: 00\n    urls:\n    - charts/web.tgz\n  - version: 1.0.0\n    urls:\n    - %s/web.tgz\n  - version: 0.9.0\n    urls:\n    - %s/web.tgz\n",
		hex.EncodeToString(sum[:]), r.other.URL, strings.Replace(r.other.URL, "https", "http", 1))
	r.Server = httptest.NewTLSServer(http.HandlerFunc(r.answer))
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(r.Close)
	return r
}

func (r *repository) answer(w http.ResponseWriter, request *http.Request) {
	r.asked = append(r.asked, request.URL.Path)
	if user, password, _ := request.BasicAuth(); user != "me" || password != "hunter22" {
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	switch request.URL.Path {
	case "/stable/index.yaml":
		w.Header().Set("ETag", `"one"`)
		if request.Header.Get("If-None-Match") == `"one"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, r.index)
	case "/stable/charts/web.tgz":
		_, _ = w.Write(r.packed)
	default:
		http.NotFound(w, request)
	}
}

func (r *repository) remote() helm.Remote {
	both := append(certificateOf(r.Server), certificateOf(r.other)...)
	return helm.Remote{URL: r.URL + "/stable", Username: "me", Password: "hunter22", Certificates: transport.Certificates{Authority: both}}
}

func certificateOf(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func client() *helm.Client { return &helm.Client{Pool: &transport.Pool{}, Agent: "test"} }

func TestRepository(t *testing.T) {
	r, c, ctx := serve(t), client(), context.Background()
	fetched, err := c.Fetch(ctx, r.remote(), "")
	must(t, err)
	sum := sha256.Sum256([]byte(r.index))
	if want := "sha256:" + hex.EncodeToString(sum[:]); fetched.Digest != want || fetched.Size != int64(len(r.index)) {
		t.Errorf("digest %s of %d bytes, want %s", fetched.Digest, fetched.Size, want)
	}
	again, err := c.Fetch(ctx, r.remote(), fetched.ETag)
	must(t, err)
	if !again.Unchanged {
		t.Error("an index that did not change must not be sent again")
	}
	kept, err := index.Read(bytes.NewReader(helm.Written(fetched.Index)))
	must(t, err)
	found, err := kept.Find("web", ">=1.1")
	must(t, err)
	packed, err := c.Download(ctx, r.remote(), found)
	must(t, err)
	chart, err := helm.Unpack(packed)
	must(t, err)
	if chart.Metadata.Version != "1.2.0" {
		t.Errorf("version %s", chart.Metadata.Version)
	}
}

func TestRepositoryRefusals(t *testing.T) {
	cases := map[string]struct {
		why    string
		wanted string
		change func(*helm.Remote)
		want   string
		is     error
	}{
		"Password":  {why: "a wrong password", change: func(r *helm.Remote) { r.Password = "other" }, is: helm.ErrAuthentication, want: "401"},
		"Authority": {why: "a certificate that nobody signed", change: func(r *helm.Remote) { r.Certificates = transport.Certificates{} }, want: "certificate"},
		"Missing":   {why: "no index", change: func(r *helm.Remote) { r.URL += "/other" }, want: "404"},
		"Digest":    {why: "a chart that is not the one in the index", wanted: "1.1.0", want: "the index says 00"},
		"Plain":     {why: "a way from https to http", wanted: "0.9.0", want: "must not lead to http"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, c, ctx := serve(t), client(), context.Background()
			from := r.remote()
			if tc.change != nil {
				tc.change(&from)
			}
			fetched, err := c.Fetch(ctx, from, "")
			if err == nil {
				var found index.Version
				found, err = fetched.Index.Find("web", tc.wanted)
				must(t, err)
				_, err = c.Download(ctx, from, found)
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || tc.is != nil && !errors.Is(err, tc.is) || strings.Contains(err.Error(), "hunter22") {
				t.Errorf("%s: error %v, want %q", tc.why, err, tc.want)
			}
		})
	}
}

func TestPasswordStaysAtHome(t *testing.T) {
	r, c, ctx := serve(t), client(), context.Background()
	fetched, err := c.Fetch(ctx, r.remote(), "")
	must(t, err)
	found, err := fetched.Index.Find("web", "1.0.0")
	must(t, err)
	_, err = c.Download(ctx, r.remote(), found)
	must(t, err)
	if r.leaked {
		t.Error("the password was sent to another host")
	}
	generous := r.remote()
	generous.PassCredentials = true
	_, err = c.Download(ctx, generous, found)
	must(t, err)
	if !r.leaked {
		t.Error("passCredentials sends it there")
	}
}

func TestRegistry(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	for _, version := range []string{"1.0.0", "1.1.0", "2.0.0-rc.1", "1.1.0_build.7"} {
		packed := pack(t, "web", map[string]string{"Chart.yaml": chartYAML("web", strings.ReplaceAll(version, "_", "+"))})
		image, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), static.NewLayer(packed, "application/vnd.cncf.helm.chart.content.v1.tar+gzip"))
		must(t, err)
		reference, err := name.ParseReference(host + "/charts/web:" + version)
		must(t, err)
		must(t, remote.Write(reference, image))
	}
	c, ctx := client(), context.Background()
	from := helm.Remote{URL: "oci://" + host + "/charts", Insecure: true}
	for wanted, want := range map[string]string{"": "1.1.0", "1.0.x": "1.0.0", "1.0.0": "1.0.0", ">1.0.0-0 <3": "2.0.0-rc.1", "1.1.0+build.7": "1.1.0+build.7"} {
		version, digest, err := c.Resolve(ctx, from, "web", wanted)
		must(t, err)
		if wanted == "" && strings.HasPrefix(version, want) {
			version = want // builds of one version are equal
		}
		if version != want {
			t.Errorf("%q is version %s, want %s", wanted, version, want)
		}
		packed, err := c.Pull(ctx, from, "web", digest)
		must(t, err)
		if _, err := helm.Unpack(packed); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := c.Resolve(ctx, from, "web", "3.x"); !errors.Is(err, index.ErrNotFound) {
		t.Errorf("a version that is not there: %v", err)
	}
	if _, _, err := c.Resolve(ctx, from, "nothing", "*"); err == nil {
		t.Error("a chart that is not there was found")
	}
	from.Insecure = false
	if _, _, err := c.Resolve(ctx, from, "web", "*"); err == nil {
		t.Error("http was spoken where nobody allowed it")
	}
}

// files is a tree in memory.
type files map[string]string

func (f files) Revision() string { return "test" }
func (f files) Digest() string   { return "test" }
func (f files) Index() *tree.Index {
	var entries []tree.Entry
	for name, text := range f {
		entries = append(entries, tree.Entry{Path: name, Hash: text, Size: int64(len(text)), Mode: 0o644})
	}
	return tree.NewIndex(entries)
}

func (f files) Read(name string) ([]byte, error) {
	if text, found := f[tree.Clean(name)]; found {
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func TestTree(t *testing.T) {
	packed := pack(t, "cache", map[string]string{"Chart.yaml": chartYAML("cache", "3.1.0"), "values.yaml": "size: 1\n"})
	source := files{
		"charts/web/Chart.yaml":  chartYAML("web", "1.0.0") + "dependencies:\n- {name: cache, version: 3.x, repository: 'https://charts.example.org'}\n- {name: base, version: 0.1.x, repository: 'file://../base'}\n- {name: held, version: 1.x, repository: 'https://charts.example.org'}\n",
		"charts/web/values.yaml": "a: 1\nb: {c: 1}\n", "charts/web/.helmignore": "*.md\nci/\n", "charts/web/README.md": "x", "charts/web/ci/test.yaml": "x",
		"charts/web/templates/a.yaml": "kind: A", "charts/web/charts/held/Chart.yaml": chartYAML("held", "1.0.0"),
		"charts/base/Chart.yaml": chartYAML("base", "0.1.2"), "charts/base/templates/b.yaml": "kind: B",
		"values/prod.yaml": "b: {c: 2, d: 3}\n",
	}
	chart, err := helm.Open(source, "./charts/web")
	must(t, err)
	var asked []string
	fetch := func(_ context.Context, repository, name, version string) ([]byte, error) {
		asked = append(asked, repository+" "+name+" "+version)
		return packed, nil
	}
	must(t, chart.AddDependencies(context.Background(), source, "./charts/web", fetch))
	must(t, chart.MergeValues([]string{"charts/web/values.yaml", "values/missing.yaml", "values/prod.yaml"}, true, source.Read))
	tagged, err := helm.Tagged(chart.Metadata.Version, "abc123.4")
	must(t, err)
	must(t, chart.SetVersion(tagged))
	got := map[string]string{}
	for _, entry := range chart.Entries() {
		content, err := chart.Read(entry)
		must(t, err)
		text, err := io.ReadAll(content)
		must(t, err)
		got[entry.Path] = string(text)
	}
	if !strings.Contains(got["web/Chart.yaml"], "version: 1.0.0+abc123.4") || !strings.Contains(got["web/Chart.yaml"], "file://../base") {
		t.Errorf("Chart.yaml = %s", got["web/Chart.yaml"])
	}
	wantNames := []string{"web/.helmignore", "web/Chart.yaml", "web/charts/base/Chart.yaml", "web/charts/base/templates/b.yaml", "web/charts/cache/Chart.yaml", "web/charts/cache/values.yaml", "web/charts/held/Chart.yaml", "web/templates/a.yaml", "web/values.yaml"}
	if diff := cmp.Diff(wantNames, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("a: 1\nb:\n  c: 2\n  d: 3\n", got["web/values.yaml"]); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"https://charts.example.org cache 3.x"}, asked); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
	if chart.Dependencies != 2 || len(chart.ValuesFiles) != 2 {
		t.Errorf("%d dependencies, values files %v", chart.Dependencies, chart.ValuesFiles)
	}
}

func TestTreeRefusals(t *testing.T) {
	dependency := func(repository, version string) files {
		return files{
			"web/Chart.yaml":   chartYAML("web", "1.0.0") + fmt.Sprintf("dependencies:\n- {name: base, version: %q, repository: %q}\n", version, repository),
			"base/Chart.yaml":  chartYAML("base", "0.1.0") + "dependencies:\n- {name: web, version: '1', repository: 'file://../web'}\n",
			"alone/Chart.yaml": chartYAML("alone", "0.1.0"),
		}
	}
	cases := map[string]struct {
		why, at string
		source  files
		want    string
	}{
		"NoChart":  {why: "a path without a chart", at: "other", source: dependency("", ""), want: "no chart"},
		"Outside":  {why: "a dependency out of the source", at: "web", source: dependency("file://../../etc", "*"), want: "leads out of the source"},
		"Version":  {why: "one in another version", at: "web", source: dependency("file://../base", "2.x"), want: "can't get a valid version"},
		"Circle":   {why: "charts that need each other", at: "web", source: dependency("file://../base", "*"), want: "more than 8 deep"},
		"Nowhere":  {why: "one that is said to be nowhere", at: "web", source: dependency("", "*"), want: "no repository is named"},
		"BadChart": {why: "a chart without a version", at: "bad", source: files{"bad/Chart.yaml": "apiVersion: v2\nname: bad\n"}, want: "reading Chart.yaml"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			chart, err := helm.Open(tc.source, tc.at)
			if err == nil {
				err = chart.AddDependencies(context.Background(), tc.source, tc.at, nil)
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: error %v, want %q", tc.why, err, tc.want)
			}
		})
	}
	chart, err := helm.Open(dependency("", ""), "alone")
	must(t, err)
	if err := chart.MergeValues([]string{"gone.yaml"}, false, dependency("", "").Read); !errors.Is(err, helm.ErrNoValues) {
		t.Errorf("a values file that is not there: %v", err)
	}
}
