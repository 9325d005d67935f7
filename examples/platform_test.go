package examples_test

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/examples"
)

var environments = []string{"local", "dev", "prod"}

func TestChain(t *testing.T) {
	want := map[string][]string{
		"variables":                  nil,
		"infrastructure-controllers": {"variables"},
		"infrastructure":             {"infrastructure-controllers"},
		"apps":                       {"infrastructure"},
	}
	for _, name := range environments {
		t.Run(name, func(t *testing.T) {
			got := map[string][]string{}
			for _, u := range renderEnvironment(t, platform(t, nil), name).units {
				got[u.name] = nil
				for _, dependency := range u.spec.DependsOn {
					got[u.name] = append(got[u.name], dependency.Name)
				}
				if len(u.objects) == 0 {
					t.Errorf("unit %s delivers nothing", u.name)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the chain of units differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNumberOfObjects(t *testing.T) {
	total := 0
	for _, name := range environments {
		count := len(renderEnvironment(t, platform(t, nil), name).all())
		if count < 80 || count > 130 {
			t.Errorf("%s delivers %d objects; about a hundred are promised", name, count)
		}
		total += count
	}
	if total < 280 || total > 330 {
		t.Errorf("%d objects in all environments; about three hundred are promised", total)
	}
}

// TestManifestsAreStrict finds fields that their kind does not know. The renderer drops them, as Flux
// does, so it is the files that are looked at; patches are partial objects and read like whole ones.
func TestManifestsAreStrict(t *testing.T) {
	strict := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	variable := regexp.MustCompile(`\$\{\w+(:=([^}]*))?\}`)
	decoded := 0
	for name, content := range platform(t, nil).content {
		if path.Ext(name) != ".yaml" {
			continue
		}
		for document := range strings.SplitSeq(variable.ReplaceAllString(string(content), "$2"), "\n---\n") {
			var kind metav1.TypeMeta
			if err := yaml.Unmarshal([]byte(document), &kind); err != nil || !scheme.Scheme.Recognizes(kind.GroupVersionKind()) {
				continue // configuration of an app, or a kind that is not built in
			}
			decoded++
			if _, _, err := strict.Decode([]byte(document), nil, nil); err != nil {
				t.Errorf("%s: %s: %v", name, kind.Kind, err)
			}
		}
	}
	if decoded < 80 {
		t.Errorf("only %d manifests of built-in kinds were found", decoded)
	}
}

// TestObjects checks what has to be true of each object, whatever its kind.
func TestObjects(t *testing.T) {
	for _, name := range environments {
		t.Run(name, func(t *testing.T) {
			env := renderEnvironment(t, platform(t, nil), name)
			owners := map[string]string{}
			for _, u := range append([]unit{env.root}, env.units...) {
				for _, object := range u.objects {
					id := identity(object)
					if owner, twice := owners[id]; twice {
						t.Errorf("%s is delivered by %s and by %s", id, owner, u.name)
					}
					owners[id] = u.name
					checkObject(t, object)
				}
			}
		})
	}
}

func checkObject(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	raw, err := object.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	id := identity(object)
	if object.GetKind() == "Secret" {
		checkPlaceholder(t, object)
	}
	// Prometheus has braces of its own; every other pair is a variable that nobody set.
	if strings.Contains(strings.ReplaceAll(string(raw), "${1}/${2}", ""), "${") {
		t.Errorf("%s still has a variable: %s", id, raw)
	}
}

// checkPlaceholder checks that a Secret holds nothing that anybody needs: it is a template, which is
// filled in and encrypted when a repository is made of the platform.
func checkPlaceholder(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	filled := false
	for name, value := range secretData(t, object) {
		switch {
		case value == "PLACEHOLDER":
			filled = true
		case name != "user":
			t.Errorf("%s holds a value for %s, and should hold a placeholder", identity(object), name)
		}
	}
	if !filled {
		t.Errorf("%s holds no placeholder", identity(object))
	}
}

// TestSecretsAreUsed checks that what is encrypted arrives where it is read.
func TestSecretsAreUsed(t *testing.T) {
	for _, name := range environments {
		env := renderEnvironment(t, platform(t, nil), name)
		for _, u := range append([]unit{env.root}, env.units...) {
			if u.name != "flux-system" && (u.spec.Decryption == nil || u.spec.Decryption.SecretRef == nil || u.spec.Decryption.SecretRef.Name != "sops-age") {
				t.Errorf("%s: unit %s does not decrypt with sops-age", name, u.name)
			}
		}
		if got := secretData(t, env.need(t, "Secret", "nextcloud-database"))["password"]; got != "PLACEHOLDER" {
			t.Errorf("%s: the database's password is %q, want the variable of the cluster's Secret", name, got)
		}
		mounted := map[string]bool{}
		for _, w := range workloads(t, env) {
			for _, volume := range w.pod.Volumes {
				if volume.Secret != nil {
					mounted[w.namespace+"/"+volume.Secret.SecretName] = true
				}
			}
		}
		for _, secret := range []string{"nextcloud/nextcloud-database", "nextcloud/nextcloud-administrator"} {
			if !mounted[secret] {
				t.Errorf("%s: no workload mounts Secret %s", name, secret)
			}
		}
	}
}

func identity(object *unstructured.Unstructured) string {
	return object.GroupVersionKind().GroupKind().String() + " " + object.GetNamespace() + "/" + object.GetName()
}

// TestNamespacesComeFirst checks that each namespace is delivered before, or together with, what
// lives in it.
func TestNamespacesComeFirst(t *testing.T) {
	for _, name := range environments {
		t.Run(name, func(t *testing.T) {
			known := map[string]bool{"flux-system": true}
			for _, u := range renderEnvironment(t, platform(t, nil), name).units {
				for _, object := range u.objects {
					if object.GetKind() == "Namespace" {
						known[object.GetName()] = true
					}
				}
				for _, object := range u.objects {
					if namespace := object.GetNamespace(); namespace != "" && !known[namespace] {
						t.Errorf("%s of unit %s lives in a namespace that is not there yet", identity(object), u.name)
					}
				}
			}
		})
	}
}

// TestEnvironmentsDiffer checks that what the README promises to differ does, and how.
func TestEnvironmentsDiffer(t *testing.T) {
	cases := map[string]struct {
		why        string
		kind, name string
		path       []string
		want       [3]any // local, dev, prod
	}{
		"GatewayReplicas": {
			why:  "a number comes from a variable: the distribution's, which a cluster overrides",
			kind: "Deployment", name: "gateway", path: []string{"spec", "replicas"}, want: [3]any{int64(1), int64(2), int64(3)},
		},
		"WhoamiReplicas": {
			why:  "the component for high availability is used in production alone",
			kind: "Deployment", name: "whoami", path: []string{"spec", "replicas"}, want: [3]any{int64(1), int64(1), int64(3)},
		},
		"WhoamiImage": {
			why:  "a new version is tried outside production first",
			kind: "Deployment", name: "whoami", path: []string{"spec", "template", "spec", "containers", "0", "image"},
			want: [3]any{"docker.io/traefik/whoami:v1.11.0", "docker.io/traefik/whoami:v1.11.0", "docker.io/traefik/whoami:v1.10.4"},
		},
		"NextcloudMemory": {
			why:  "a patch for each cluster sizes the app",
			kind: "Deployment", name: "nextcloud", path: []string{"spec", "template", "spec", "containers", "0", "resources", "limits", "memory"},
			want: [3]any{"768Mi", "1Gi", "2Gi"},
		},
		"Host": {
			why:  "host names come from a variable",
			kind: "Ingress", name: "whoami", path: []string{"spec", "rules", "0", "host"},
			want: [3]any{"whoami.platform.localhost", "whoami.platform-dev.example.org", "whoami.platform.example.org"},
		},
		"GatewayService": {
			why:  "how the world gets in is a matter of the distribution",
			kind: "Service", name: "gateway", path: []string{"spec", "type"}, want: [3]any{"NodePort", "LoadBalancer", "LoadBalancer"},
		},
		"Policy": {
			why:  "a policy warns before production and denies there",
			kind: "ValidatingAdmissionPolicyBinding", name: "platform-images-have-a-tag", path: []string{"spec", "validationActions", "0"},
			want: [3]any{"Warn", "Warn", "Deny"},
		},
		"RetentionInline": {
			why:  "inline defaults fill in what no ConfigMap sets, and ConfigMaps win over them",
			kind: "ConfigMap", name: "nextcloud", path: []string{"data", "PHP_UPLOAD_LIMIT"}, want: [3]any{"512M", "2G", "16G"},
		},
	}
	envs := [3]environment{}
	for i, name := range environments {
		envs[i] = renderEnvironment(t, platform(t, nil), name)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for i, env := range envs {
				if diff := cmp.Diff(c.want[i], field(env.need(t, c.kind, c.name), c.path...)); diff != "" {
					t.Errorf("%s: %s (-want +got):\n%s", environments[i], c.why, diff)
				}
			}
		})
	}
}

// TestComponents checks where the components are used.
func TestComponents(t *testing.T) {
	cases := map[string]struct {
		kind, name string
		want       [3]bool // local, dev, prod
	}{
		"HighAvailability":  {kind: "PodDisruptionBudget", name: "replicated", want: [3]bool{false, false, true}},
		"RestrictedNetwork": {kind: "NetworkPolicy", name: "deny-by-default", want: [3]bool{false, true, true}},
		"Monitoring":        {kind: "StatefulSet", name: "prometheus", want: [3]bool{false, true, true}},
		"Playground":        {kind: "Namespace", name: "playground", want: [3]bool{true, true, false}},
	}
	for i, name := range environments {
		env := renderEnvironment(t, platform(t, nil), name)
		for component, c := range cases {
			if got := env.find(c.kind, c.name) != nil; got != c.want[i] {
				t.Errorf("%s in %s: %s %s is there: %t, want %t", component, name, c.kind, c.name, got, c.want[i])
			}
		}
	}
}

// TestAddingAnApp does what the README tells a developer to do: add a folder, and nothing else.
func TestAddingAnApp(t *testing.T) {
	app := appOfReadme(t)
	before := len(renderEnvironment(t, platform(t, nil), "local").all())
	env := renderEnvironment(t, platform(t, map[string]string{"clusters/local/apps/hello/hello.yaml": app}), "local")
	if got, want := len(env.all()), before+1; got != want {
		t.Errorf("%d objects with the new folder, want %d", got, want)
	}
	if got := env.need(t, "Deployment", "hello").GetNamespace(); got != "playground" {
		t.Errorf("the new app is in namespace %q, want the playground", got)
	}
}

// appOfReadme returns the manifest that the README gives a developer to paste.
func appOfReadme(t *testing.T) string {
	t.Helper()
	readme, err := fs.ReadFile(examples.Platform(), "README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "apps/hello/hello.yaml <<'EOF'\n")
	app, _, ended := strings.Cut(rest, "EOF\n")
	if !found || !ended {
		t.Fatal("the README has no app to paste")
	}
	return app
}
