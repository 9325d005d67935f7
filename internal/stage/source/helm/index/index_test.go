package index_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/stage/source/helm/index"
)

func versionsOf(x *index.Index) map[string][]index.Version {
	found := map[string][]index.Version{}
	x.Each(func(name string, versions []index.Version) { found[name] = versions })
	return found
}

func TestRead(t *testing.T) {
	want := map[string][]index.Version{
		"web": {
			{Name: "web", Version: "1.1.0", URLs: []string{"https://example.org/web-1.1.0.tgz"}, Digest: "abc", Created: "2026-01-02T00:00:00Z"},
			{Name: "web", Version: "1.0.0", URLs: []string{"web-1.0.0.tgz", "mirror/web.tgz"}},
		},
		"db": {{Name: "db", Version: "2.0.0"}},
	}
	helm := `apiVersion: v1
entries:
  db:
  - name: db
    version: 2.0.0
  web:
  - annotations:
      version: not this
      urls:
      - nor this
    apiVersion: v2
    created: "2026-01-02T00:00:00Z"
    dependencies:
    - name: common
      version: 9.9.9
    description: |
      entries:
        - version: 7
    digest: abc
    name: web
    urls:
    - https://example.org/web-1.1.0.tgz
    version: 1.1.0
  - urls: # two
    - web-1.0.0.tgz
    - 'mirror/web.tgz'
    version: "1.0.0"
generated: "2026-01-02T00:00:00Z"
`
	helm = strings.Replace(helm, "urls: # two", "urls:", 1)
	asJSON, err := yaml.YAMLToJSON([]byte(helm))
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct{ why, text string }{
		"Helm":     {"the layout of Helm", helm},
		"Windows":  {"with the line ends of Windows", strings.ReplaceAll(helm, "\n", "\r\n")},
		"Indented": {"lists may be indented", strings.ReplaceAll(strings.ReplaceAll(helm, "\n    ", "\n      "), "\n  - ", "\n    - ")},
		"JSON":     {"an index may be JSON", string(asJSON)},
		"Flow":     {"or YAML that nobody writes", "entries: {web: [{version: 1.1.0, urls: ['https://example.org/web-1.1.0.tgz'], digest: abc, created: '2026-01-02T00:00:00Z'}, {version: 1.0.0, urls: [web-1.0.0.tgz, mirror/web.tgz]}], db: [{version: 2.0.0}]}\napiVersion: v1\n"},
		"Anchors":  {"with anchors", strings.Replace(helm, "version: 2.0.0", "version: &n 2.0.0", 1)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			x, err := index.Read(strings.NewReader(tc.text))
			if err != nil {
				t.Fatalf("%s: %v", tc.why, err)
			}
			if diff := cmp.Diff(want, versionsOf(x)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.why, diff)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"Empty": "", "NoVersion": "entries: {}\n", "Page": "<html>\n<body>\n", "NoMap": "apiVersion: v1\nentries: [a]\n", "Cut": `{"apiVersion": "v1", "entries": {"a": [{"version"`,
	} {
		if _, err := index.Read(strings.NewReader(text)); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
}

func TestFind(t *testing.T) {
	text := "apiVersion: v1\nentries:\n  web:\n"
	for _, version := range []string{"1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1", "not-a-version", "0.9.0"} {
		text += "  - version: " + version + "\n    digest: " + version + "\n"
	}
	x, err := index.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct{ why, wanted, want string }{
		"Newest":     {"no pre-release", "*", "1.10.0"},
		"Empty":      {"the same", "", "1.10.0"},
		"Range":      {"the newest in a range", "1.x", "1.10.0"},
		"Tilde":      {"in a narrow one", "~1.2", "1.2.0"},
		"Exact":      {"a version", "1.0.0", "1.0.0"},
		"PreRelease": {"where it is asked for", ">=2.0.0-0", "2.0.0-rc.1"},
		"Odd":        {"what is no version can be named", "not-a-version", "not-a-version"},
		"None":       {"nothing in the range", "3.x", ""},
		"Malformed":  {"neither version nor range", "not a range", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := x.Find("web", tc.wanted)
			if got.Version != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("%s: Find(%q) = %q, %v, want %q", tc.why, tc.wanted, got.Version, err, tc.want)
			}
		})
	}
}

// large makes an index as large repositories have it.
func large(bytesWanted int) []byte {
	var text bytes.Buffer
	text.WriteString("apiVersion: v1\nentries:\n")
	for chart := 0; text.Len() < bytesWanted; chart++ {
		fmt.Fprintf(&text, "  chart-%04d:\n", chart)
		for version := range 100 {
			fmt.Fprintf(&text, "  - annotations:\n      category: Analytics\n      images: |\n        - name: a\n          image: docker.io/example/a:%d\n    apiVersion: v2\n    appVersion: %d.0.0\n    created: \"2026-01-02T03:04:05.678901234Z\"\n    dependencies:\n    - name: common\n      repository: oci://registry-1.docker.io/example\n      tags:\n      - example-common\n      version: 2.x.x\n    description: A chart of some length, that tells what the program does and why one would want it in a cluster.\n    digest: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n    home: https://example.org\n    icon: https://example.org/icon.png\n    keywords:\n    - one\n    - two\n    maintainers:\n    - name: somebody\n      url: https://example.org\n    name: chart-%04d\n    sources:\n    - https://example.org/sources\n    urls:\n    - https://charts.example.org/chart-%04d-1.%d.0.tgz\n    version: 1.%d.0\n", version, version, chart, chart, version, version)
		}
	}
	return text.Bytes()
}

// BenchmarkRead reads an index of 50 MB, and tells how much memory stays.
func BenchmarkRead(b *testing.B) {
	text := large(50 << 20)
	b.SetBytes(int64(len(text)))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var kept *index.Index
	for b.Loop() {
		var err error
		if kept, err = index.Read(bytes.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/(1<<20), "MB-kept")
	runtime.KeepAlive(text)
	b.ReportMetric(float64(kept.Bytes())/(1<<20), "MB-counted")
}

func FuzzRead(f *testing.F) {
	f.Add("apiVersion: v1\nentries:\n  a:\n  - version: 1\n    urls:\n    - x\n")
	f.Add(`{"apiVersion":"v1","entries":{"a":[{"version":"1"}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		x, err := index.Read(strings.NewReader(text))
		if err != nil {
			return
		}
		x.Each(func(name string, versions []index.Version) {
			for _, one := range versions {
				if one.Name != name || one.Version == "" {
					t.Errorf("version %+v of chart %q", one, name)
				}
			}
		})
	})
}
