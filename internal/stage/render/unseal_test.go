package render_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/sealed"
	"holdfast.dev/holdfast/internal/stage/decrypt"
	"holdfast.dev/holdfast/internal/stage/decrypt/sopstest"
	"holdfast.dev/holdfast/internal/stage/render"
)

func ringOf(t testing.TB, keys ...sopstest.Key) *decrypt.Keyring {
	t.Helper()
	decrypt.Quiet()
	data := map[string][]byte{}
	for i, key := range keys {
		name := fmt.Sprintf("%d.agekey", i)
		if strings.Contains(key.Private, "PGP") {
			name = fmt.Sprintf("%d.asc", i)
		}
		data[name] = []byte(key.Private)
	}
	ring, err := decrypt.NewKeyring(decrypt.Keys{Origin: "Secret web/sops-keys", Data: data}, decrypt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// dataOf returns the data of all ConfigMaps and Secrets in an output, decoded, by kind and name.
func dataOf(t testing.TB, output render.Output) map[string]map[string]string {
	t.Helper()
	all := map[string]map[string]string{}
	for _, one := range output.Objects {
		u, err := one.Decode()
		if err != nil {
			t.Fatal(err)
		}
		data, _, _ := unstructured.NestedStringMap(u.Object, "data")
		for key, value := range data {
			if raw, err := base64.StdEncoding.DecodeString(value); err == nil && one.Kind == "Secret" {
				data[key] = string(raw)
			}
		}
		all[one.Kind+"/"+one.Name] = data
	}
	return all
}

func encrypted(t testing.TB, format sealed.Format, plain string, keys ...sopstest.Key) string {
	t.Helper()
	return sopstest.Encrypt(t, sopstest.File{Format: format, Plain: plain, For: keys})
}

// sealedTree has something encrypted in every place where there can be something.
func sealedTree(t testing.TB, key sopstest.Key) map[string]string {
	t.Helper()
	payload := encrypted(t, sealed.JSON, `{"auths": {"registry": "canary-json"}}`, key)
	two := sopstest.Encrypt(t, sopstest.File{
		Format: sealed.YAML, For: []sopstest.Key{key}, Regex: sopstest.Manifest,
		Plain: "apiVersion: v1\nkind: Secret\nmetadata:\n    name: first\nstringData:\n    token: canary-first\n---\napiVersion: v1\nkind: Secret\nmetadata:\n    name: second\ndata:\n    token: Y2FuYXJ5LXNlY29uZA==\n",
	})
	return map[string]string{
		"app/kustomization.yaml": "namespace: web\nresources: [whole.yaml, two.yaml, inside.yaml, base, off.yaml, plain.yaml]\ncomponents: [component]\n" +
			"patches: [{path: patch.yaml}]\ngeneratorOptions: {disableNameSuffixHash: true}\n" +
			"secretGenerator: [{name: files, files: [config.yaml=config.enc, blob.bin, values.ini]}]\n" +
			"configMapGenerator: [{name: files, files: [config.yaml=config.enc]}]\n",
		"app/whole.yaml":  sopstest.Secret(t, "whole", "canary-whole", key),
		"app/two.yaml":    two,
		"app/plain.yaml":  "apiVersion: v1\nkind: Secret\nmetadata: {name: plain}\nstringData: {note: plain}\n",
		"app/inside.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: inside}\ntype: kubernetes.io/dockerconfigjson\ndata:\n  .dockerconfigjson: " + base64.StdEncoding.EncodeToString([]byte(payload)) + "\n",
		"app/off.yaml": strings.Replace(sopstest.Encrypt(t, sopstest.File{
			Format: sealed.YAML, For: []sopstest.Key{key}, Regex: sopstest.Manifest, Plain: "apiVersion: v1\nkind: ConfigMap\nmetadata:\n    name: off\ndata:\n    note: canary-off\n",
		}), "metadata:", "metadata:\n    annotations: {kustomize.toolkit.fluxcd.io/decrypt: Disabled}", 1),
		"app/patch.yaml": sopstest.Encrypt(t, sopstest.File{Format: sealed.YAML, For: []sopstest.Key{key}, Regex: sopstest.Manifest, Plain: "apiVersion: v1\nkind: Secret\nmetadata:\n    name: plain\nstringData:\n    added: canary-patch\n"}),
		"app/config.enc": encrypted(t, sealed.YAML, "password: canary-config\n", key),
		"app/blob.bin":   encrypted(t, sealed.Binary, "canary-blob", key),
		"app/values.ini": encrypted(t, sealed.INI, "[a]\nb = canary-ini\n", key),

		"app/base/kustomization.yaml":      "secretGenerator: [{name: envs, envs: [prod.env, other.txt], options: {disableNameSuffixHash: true}}]\n",
		"app/base/prod.env":                encrypted(t, sealed.Dotenv, "token=canary-env\n", key),
		"app/base/other.txt":               encrypted(t, sealed.Dotenv, "other=canary-other\n", key),
		"app/component/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nsecretGenerator: [{name: component, envs: [../base/prod.env], options: {disableNameSuffixHash: true}}]\n",
	}
}

var opened = map[string]map[string]string{
	"Secret/whole":     {"token": "canary-whole"},
	"Secret/first":     {"token": "canary-first"},
	"Secret/second":    {"token": "canary-second"},
	"Secret/plain":     {"note": "plain", "added": "canary-patch"},
	"Secret/inside":    {".dockerconfigjson": "{\n\t\"auths\": {\n\t\t\"registry\": \"canary-json\"\n\t}\n}\n"},
	"Secret/files":     {"config.yaml": "password: canary-config\n", "blob.bin": "canary-blob", "values.ini": "[a]\nb = canary-ini\n"},
	"ConfigMap/files":  {"config.yaml": "password: canary-config\n"},
	"Secret/envs":      {"token": "canary-env", "other": "canary-other"},
	"Secret/component": {"token": "canary-env"},
}

// TestUnsealEverywhere: taken apart or whole, with names changed or not, everything comes out.
func TestUnsealEverywhere(t *testing.T) {
	key := sopstest.Age(t)
	files := sealedTree(t, key)
	ring := ringOf(t, key)
	for why, change := range map[string]func(*render.Input){
		"as it is": func(*render.Input) {},
		"in another namespace, with labels": func(i *render.Input) {
			i.TargetNamespace, i.Labels = "elsewhere", map[string]string{"team": "web"}
		},
		"with a prefix, so that it is built whole": func(i *render.Input) { i.NamePrefix = "p-" },
	} {
		t.Run(why, func(t *testing.T) {
			input := render.Input{Owner: owner, Tree: treeOf(files), Path: "app", Opener: ring}
			change(&input)
			output, err := render.New(render.Options{}).Render(context.Background(), input)
			if err != nil {
				t.Fatal(err)
			}
			got := dataOf(t, output)
			off := got["ConfigMap/"+input.NamePrefix+"off"]
			if !strings.Contains(fmt.Sprint(off), "ENC[") {
				t.Errorf("what is not to be decrypted is: %v", off)
			}
			delete(got, "ConfigMap/"+input.NamePrefix+"off")
			want := map[string]map[string]string{}
			for name, data := range opened {
				kind, name, _ := strings.Cut(name, "/")
				want[kind+"/"+input.NamePrefix+name] = data
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestUnsealAgain: what did not change is not opened again, and what did is, alone.
func TestUnsealAgain(t *testing.T) {
	key := sopstest.Age(t)
	files := treeOf(sealedTree(t, key))
	counted := &counter{Opener: ringOf(t, key)}
	renderer := render.New(render.Options{})
	input := render.Input{Owner: owner, Tree: files, Path: "app", Opener: counted}
	first := mustGet(t, renderer, input)
	all := counted.opened
	input.Tree = files.with(map[string]string{"README.md": "x"})
	if again := mustGet(t, renderer, input); !again.Cached || counted.opened != all {
		t.Errorf("a file that nobody reads: cached %t, %d boxes opened", again.Cached, counted.opened-all)
	}
	input.Tree = files.with(map[string]string{"app/whole.yaml": sopstest.Secret(t, "whole", "canary-new", key)})
	next := mustGet(t, renderer, input)
	if got := dataOf(t, next)["Secret/whole"]["token"]; got != "canary-new" || next.Fingerprint == first.Fingerprint {
		t.Errorf("the new value is %q", got)
	}
	if more := counted.opened - all; more > 2 {
		t.Errorf("one file changed, and %d boxes were opened", more)
	}
	input.Tree = files.with(map[string]string{"app/whole.yaml": sopstest.Secret(t, "whole", "canary-whole", key)})
	if same := mustGet(t, renderer, input); same.Fingerprint != first.Fingerprint {
		t.Error("the same value, encrypted anew, is another wish")
	}
}

type counter struct {
	render.Opener
	opened int
}

func (c *counter) Open(ctx context.Context, box sealed.Box) (sealed.Plain, error) {
	c.opened++
	return c.Opener.Open(ctx, box)
}

// TestKeysChange: a new key is tried at once, one that is gone opens nothing any more, and nobody profits
// from what another unit opened.
func TestKeysChange(t *testing.T) {
	key, other := sopstest.Age(t), sopstest.Age(t)
	files := treeOf(sealedTree(t, key))
	renderer := render.New(render.Options{})
	steps := []struct {
		why  string
		ring render.Opener
		unit object.Owner
		ok   bool
	}{
		{"the wrong key", ringOf(t, other), owner, false},
		{"the right key joins it", ringOf(t, other, key), owner, true},
		{"it goes away", ringOf(t, other), owner, false},
		{"it comes back", ringOf(t, key), owner, true},
		{"another tenant has the same files", ringOf(t, other), object.Owner{Namespace: "other", Name: "apps"}, false},
		{"and no keys at all", nil, object.Owner{Namespace: "none", Name: "apps"}, false},
		{"which changes nothing here", ringOf(t, key), owner, true},
	}
	for _, step := range steps {
		output, err := renderer.Render(context.Background(), render.Input{Owner: step.unit, Tree: files, Path: "app", Opener: step.ring})
		if step.ok != (err == nil) {
			t.Fatalf("%s: %v", step.why, err)
		}
		if !step.ok && (len(output.Objects) > 0 || strings.Contains(err.Error(), "canary")) {
			t.Errorf("%s: %d objects, %v", step.why, len(output.Objects), err)
		}
	}
}

// TestSealedFilesAreChecked: what is not as SOPS left it goes nowhere, and is named.
func TestSealedFilesAreChecked(t *testing.T) {
	key := sopstest.Age(t)
	good := sealedTree(t, key)
	cut := func(name string, at string) string { return good[name][:strings.Index(good[name], at)] }
	cases := map[string]struct {
		why     string
		changes map[string]string
		says    []string
	}{
		"TamperedObject":    {"kustomize changes the object anyway, so the file is what counts", map[string]string{"app/whole.yaml": strings.Replace(good["app/whole.yaml"], "kind: Secret", "kind: Secret\ntype: Opaque", 1)}, []string{"app/whole.yaml", "changed after it was encrypted"}},
		"TamperedSecondDoc": {"all documents of a file have one MAC", map[string]string{"app/two.yaml": strings.Replace(good["app/two.yaml"], "name: second", "name: secand", 1)}, []string{"app/two.yaml", "changed after it was encrypted"}},
		"TamperedFile":      {"of a generator", map[string]string{"app/base/prod.env": "added=x\n" + good["app/base/prod.env"]}, []string{"app/base/prod.env", "added is not encrypted"}},
		"TruncatedEnv":      {"of a generator", map[string]string{"app/base/prod.env": cut("app/base/prod.env", "sops_mac")}, []string{"app/base/prod.env", "cut short"}},
		"TruncatedBinary":   {"of a generator", map[string]string{"app/blob.bin": cut("app/blob.bin", `"mac"`)}, []string{"app/blob.bin", "cut short"}},
		"TruncatedObject":   {"its values are there, its metadata is not", map[string]string{"app/whole.yaml": cut("app/whole.yaml", "sops:")}, []string{"whole in app/whole.yaml", "cut short"}},
		"Large":             {"50 MB", map[string]string{"app/blob.bin": good["app/blob.bin"] + strings.Repeat(" ", 50<<20)}, []string{"app/blob.bin", "too large"}},
		"LargerThanFlux":    {"6 MB", map[string]string{"app/blob.bin": good["app/blob.bin"] + strings.Repeat(" ", 6<<20)}, []string{"app/blob.bin", "more than the"}},
		"Outside":           {"a path that leaves the tree", map[string]string{"app/base/kustomization.yaml": "secretGenerator: [{name: envs, envs: [../../../etc/passwd]}]\n"}, []string{"outside of the source"}},
		"Bomb":              {"aliases that expand for ever", map[string]string{"app/config.enc": "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e, *e, *e]\ng: [*f, *f, *f, *f, *f, *f, *f, *f, *f, *f, *f, *f, *f, *f, *f, *f]\n" + good["app/config.enc"]}, []string{"app/config.enc", "alias"}},
	}
	for name, c := range cases {
		for _, prefix := range []string{"", "p-"} { // taken apart, and whole
			t.Run(name+prefix, func(t *testing.T) {
				output, err := render.New(render.Options{}).Render(context.Background(), render.Input{
					Owner: owner, Tree: treeOf(good).with(c.changes), Path: "app", Opener: ringOf(t, key), NamePrefix: prefix,
				})
				if err == nil || len(output.Objects) > 0 {
					t.Fatalf("%s: %d objects, error %v", c.why, len(output.Objects), err)
				}
				for _, says := range c.says {
					if !strings.Contains(err.Error(), says) {
						t.Errorf("%s: %q does not say %q", c.why, err, says)
					}
				}
				if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "Y2FuYXJ5") {
					t.Errorf("%s: a value is shown: %v", c.why, err)
				}
			})
		}
	}
}

// TestSubstituteAfterUnseal: variables are filled in when values are plain (flux-contract 8.22).
func TestSubstituteAfterUnseal(t *testing.T) {
	key := sopstest.Age(t)
	files := treeOf(map[string]string{"a.yaml": sopstest.Secret(t, "a", "${user}:canary", key)})
	output, err := render.New(render.Options{}).Render(context.Background(), render.Input{
		Owner: owner, Tree: files, Opener: ringOf(t, key), Variables: render.Variables{Enabled: true, Values: map[string]string{"user": "admin"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := dataOf(t, output)["Secret/a"]["token"]; got != "admin:canary" {
		t.Errorf("token is %q", got)
	}
}

// TestRevealedValuesAreMasked: what kustomize has to say of decrypted files quotes them.
func TestRevealedValuesAreMasked(t *testing.T) {
	key := sopstest.Age(t)
	files := treeOf(map[string]string{
		"kustomization.yaml": "resources: [a.yaml]\npatches: [{path: patch.yaml}]\n", "a.yaml": configMap("a", "x"),
		"patch.yaml": encrypted(t, sealed.YAML, "kind: canary-kind\nname: canary-name\n", key),
	})
	_, err := render.New(render.Options{}).Render(context.Background(), render.Input{Owner: owner, Tree: files, Opener: ringOf(t, key)})
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("error %v", err)
	}
}

// passing is an error that may not come again.
type passing struct{ error }

func (passing) Passing() bool { return true }

// failing opens nothing as long as it fails.
type failing struct {
	render.Opener
	fails bool
}

func (f *failing) Open(ctx context.Context, box sealed.Box) (sealed.Plain, error) {
	if f.fails {
		return sealed.Plain{}, passing{errors.New("the service is away")}
	}
	return f.Opener.Open(ctx, box)
}

// TestPassingErrorsAreForgotten: a service that is away says nothing of the files.
func TestPassingErrorsAreForgotten(t *testing.T) {
	key := sopstest.Age(t)
	for name, files := range map[string]map[string]string{
		"Object": {"a.yaml": sopstest.Secret(t, "a", "x", key)},
		"File":   {"kustomization.yaml": "secretGenerator: [{name: a, envs: [a.env]}]\n", "a.env": encrypted(t, sealed.Dotenv, "a=b\n", key)},
	} {
		t.Run(name, func(t *testing.T) {
			renderer, opener := render.New(render.Options{}), &failing{Opener: ringOf(t, key), fails: true}
			input := render.Input{Owner: owner, Tree: treeOf(files), Opener: opener}
			if _, err := renderer.Render(context.Background(), input); err == nil || !strings.Contains(err.Error(), "the service is away") {
				t.Fatalf("error %v", err)
			}
			opener.fails = false
			if _, err := renderer.Render(context.Background(), input); err != nil {
				t.Errorf("it is back, and nobody asks: %v", err)
			}
		})
	}
}

// openedValues are what Flux's own tests find in its examples where it is another word than "value".
var openedValues = map[string]string{
	"Secret/patches-secret key":    "merge1",
	"Secret/patches-secret merge2": "merge2",
	"Secret/global-age-secret key": "global-value",
}

// TestCorporaSOPS: Flux's own examples, with their public keys.
func TestCorporaSOPS(t *testing.T) {
	root := filepath.Join(corpora(t), "flux-sops", "sops")
	var keys []sopstest.Key
	for _, name := range []string{"age.txt", "age-pq.txt", "pgp.asc", "age-global.txt"} {
		private, err := os.ReadFile(filepath.Join(root, "keys", name))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, sopstest.Key{Private: string(private)})
	}
	ring, files := ringOf(t, keys...), openDir(t, root)
	for _, dir := range []string{"envs", "files", "patches", "inside", "global", "component-user", "algorithms/age.yaml", "algorithms/age-pq.yaml", "algorithms/pgp.yaml"} {
		t.Run(dir, func(t *testing.T) {
			at := memTree{}
			switch {
			case dir == "component-user":
				at = treeOf(map[string]string{"x/kustomization.yaml": "components: [../component]\n", "component/kustomization.yaml": read(t, root, "component/kustomization.yaml"), "component/env.env": read(t, root, "component/env.env")})
				dir = "x"
			case strings.HasSuffix(dir, ".yaml"):
				at = treeOf(map[string]string{"x/a.yaml": read(t, root, dir)})
				dir = "x"
			}
			input := render.Input{Owner: owner, Tree: files, Path: dir, TargetNamespace: "sops", Opener: ring}
			if at.index != nil {
				input.Tree = at
			}
			output, err := render.New(render.Options{}).Render(context.Background(), input)
			if err != nil {
				t.Fatal(err)
			}
			for name, data := range dataOf(t, output) {
				for key, value := range data {
					want, other := openedValues[name+" "+key]
					if !other {
						want = "value"
					}
					if strings.TrimSpace(value) != want {
						t.Errorf("%s: %s is %q, want %q", name, key, value, want)
					}
				}
				if len(data) == 0 {
					t.Errorf("%s has no data", name)
				}
			}
		})
	}
}

func read(t *testing.T, root, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
