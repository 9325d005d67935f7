package operator_test

import (
	"encoding/base64"
	"strings"
	"sync"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/model/sealed"
	"holdfast.dev/holdfast/internal/operator"
	"holdfast.dev/holdfast/internal/stage/decrypt/sopstest"
)

func decryptedWith(secret string) func(*kustomizev1.Kustomization) {
	return func(u *kustomizev1.Kustomization) {
		u.Spec.Decryption = &kustomizev1.Decryption{Provider: "sops"}
		if secret != "" {
			u.Spec.Decryption.SecretRef = &meta.LocalObjectReference{Name: secret}
		}
	}
}

// secretObject refers to a Secret of the world.
func (w *world) secretObject(name string) *unstructured.Unstructured {
	u := w.configMap(name)
	u.SetKind("Secret")
	unstructured.RemoveNestedField(u.Object, "data")
	return u
}

// keeps tells whether a Secret has a value.
func keeps(key, want string) func(*unstructured.Unstructured) bool {
	return func(u *unstructured.Unstructured) bool {
		return u != nil && field(u, "data", key) == base64.StdEncoding.EncodeToString([]byte(want))
	}
}

// holdsNoCanary looks for decrypted values in all that is told of units.
func (w *world) holdsNoCanary(units ...string) {
	w.t.Helper()
	for _, name := range units {
		said := describe(w.get(name)) + strings.Join(w.events(name), "\n")
		for _, form := range []string{"canary", base64.StdEncoding.EncodeToString([]byte("canary"))[:7]} {
			if strings.Contains(said, form) {
				w.t.Errorf("a value was told: %s", said)
			}
		}
	}
}

// logged is all that a daemon wrote into its log.
type logged struct {
	lock sync.Mutex
	said strings.Builder
}

func (l *logged) add(prefix, args string) {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.said.WriteString(prefix + " " + args + "\n")
}

func (l *logged) text() string {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.said.String()
}

// TestDecryption: everything encrypted is delivered in plain, a missing key is named, and is used when it
// comes; one that is rotated away is missed, and what was delivered stays.
func TestDecryption(t *testing.T) {
	t.Parallel()
	log := &logged{}
	w := newOwnWorld(t, func(c *operator.Config) { c.Log = funcr.New(log.add, funcr.Options{Verbosity: 9}) })
	key, next := sopstest.Age(t), sopstest.AgePostQuantum(t)
	files := func(version string, keys ...sopstest.Key) map[string]string {
		payload := sopstest.Encrypt(t, sopstest.File{Format: sealed.YAML, Plain: "password: canary-inside-" + version + "\n", For: keys})
		return map[string]string{
			"apps/kustomization.yaml": "resources: [object.yaml, inside.yaml]\ngeneratorOptions: {disableNameSuffixHash: true}\nsecretGenerator: [{name: generated, envs: [prod.env]}]\n",
			"apps/prod.env":           sopstest.Encrypt(t, sopstest.File{Format: sealed.Dotenv, Plain: "token=canary-env-" + version + "\n", For: keys}),
			"apps/object.yaml":        sopstest.Secret(t, "object", "canary-object-"+version, keys...),
			"apps/inside.yaml":        "apiVersion: v1\nkind: Secret\nmetadata: {name: inside}\ndata:\n  values.yaml: " + base64.StdEncoding.EncodeToString([]byte(payload)) + "\n",
		}
	}
	revision := w.commit(files("one", key))
	w.source()
	w.unit("apps", decryptedWith("sops-keys"))
	w.failed("apps", "BuildFailed", `secrets "sops-keys" not found`)
	w.secret("sops-keys", map[string]string{"age.key": key.Private})
	u := w.failed("apps", "BuildFailed", `call it "age.agekey"`)
	if said := condition(u, "Ready").Message; !strings.Contains(said, key.Recipient) || !strings.Contains(said, "apps/") {
		t.Errorf("the condition names neither file nor recipient: %s", said)
	}
	w.secret("sops-keys", map[string]string{"identity.agekey": key.Private})
	w.ready("apps", revision)
	for name, want := range map[string][2]string{"generated": {"token", "canary-env-one"}, "object": {"token", "canary-object-one"}, "inside": {"values.yaml", "password: canary-inside-one\n"}} {
		if live := read(w, w.secretObject(name)); !keeps(want[0], want[1])(live) {
			t.Errorf("%s is not what was encrypted", name)
		}
	}
	w.commit(files("two", next))
	u = w.failed("apps", "BuildFailed", "it was encrypted for age1pq1")
	if said := condition(u, "Ready").Message; !strings.Contains(said, key.Recipient) {
		t.Errorf("the condition does not name the key at hand: %s", said)
	}
	w.edit(w.secretObject("object"), func(u *unstructured.Unstructured) {
		_ = unstructured.SetNestedField(u.Object, "b3RoZXI=", "data", "token")
	})
	await(w, w.secretObject("object"), "as it was", keeps("token", "canary-object-one"))
	w.secret("sops-keys", map[string]string{"identity.agekey": key.Private, "next.agekey": next.Private})
	await(w, w.secretObject("object"), "new", keeps("token", "canary-object-two"))
	w.holdsNoCanary("apps")
	if strings.Contains(log.text(), "canary") {
		t.Error("a value is in the log")
	}
}

// TestTenantsKeysAreTheirOwn: two units of one process cannot open each other's files.
func TestTenantsKeysAreTheirOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	red, blue := sopstest.Age(t), sopstest.PGP(t)
	revision := w.commit(map[string]string{
		"red/a.yaml": sopstest.Secret(t, "red", "canary-red", red), "blue/a.yaml": sopstest.Secret(t, "blue", "canary-blue", blue),
		"thief/a.yaml": sopstest.Secret(t, "stolen", "canary-red", red),
	})
	w.source()
	w.secret("red-keys", map[string]string{"a.agekey": red.Private})
	w.secret("blue-keys", map[string]string{"b.asc": blue.Private})
	w.unit("red", decryptedWith("red-keys"))
	w.unit("blue", decryptedWith("blue-keys"))
	w.unit("thief", decryptedWith("blue-keys"))
	w.ready("red", revision)
	w.ready("blue", revision)
	w.failed("thief", "BuildFailed", red.Recipient)
	if read(w, w.secretObject("stolen")) != nil {
		t.Error("a unit opened a file with the key of another")
	}
	w.holdsNoCanary("red", "blue", "thief")
}

// TestTamperedFileIsRefused: and what the server refuses of decrypted objects shows no value.
func TestTamperedFileIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := sopstest.Age(t)
	good := sopstest.Secret(t, "object", "canary-object", key)
	w.secret("sops-keys", map[string]string{"a.agekey": key.Private})
	w.commit(map[string]string{"apps/a.yaml": strings.Replace(good, "kind: Secret", "kind: Secret\nimmutable: true", 1)})
	w.source()
	w.unit("apps", decryptedWith("sops-keys"))
	w.failed("apps", "BuildFailed", "apps/a.yaml: it was changed after it was encrypted")
	service := sopstest.Encrypt(t, sopstest.File{
		Format: sealed.YAML, For: []sopstest.Key{key}, Regex: "^(clusterIP)$",
		Plain: "apiVersion: v1\nkind: Service\nmetadata:\n    name: web\nspec:\n    clusterIP: canary-address\n    ports:\n        - port: 80\n",
	})
	w.commit(map[string]string{"apps/a.yaml": service})
	w.failed("apps", "ReconciliationFailed", "dry-run failed")
	w.holdsNoCanary("apps")
	w.ready("apps", w.commit(map[string]string{"apps/a.yaml": good}))
}

// TestAgeSecretForAll: a Secret of the operator opens for units that name none, and for those alone.
func TestAgeSecretForAll(t *testing.T) {
	t.Parallel()
	w := newOwnWorld(t, func(c *operator.Config) { c.Namespace, c.AgeSecret = c.Namespaces[0], "everybodys" })
	key := sopstest.Age(t)
	revision := w.commit(map[string]string{
		"all/a.yaml": sopstest.Secret(t, "all", "canary", key), "own/a.yaml": sopstest.Secret(t, "own", "canary", key), "none/a.yaml": sopstest.Secret(t, "none", "canary", key),
	})
	w.source()
	w.secret("empty", map[string]string{"note": "nothing"})
	w.unit("all", decryptedWith(""))
	w.unit("own", decryptedWith("empty"))
	w.unit("none")
	w.failed("all", "BuildFailed", `secrets "everybodys" not found`)
	w.secret("everybodys", map[string]string{"a.agekey": key.Private})
	w.ready("all", revision)
	w.failed("own", "BuildFailed", "has no key that is read")
	w.failed("none", "BuildFailed", "spec.decryption")
	w.holdsNoCanary("all", "own", "none")
}
