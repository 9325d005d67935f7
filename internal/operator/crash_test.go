package operator_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/operator"
)

var (
	crashes   = flag.Int("crashes", 100, "how often the daemon dies in TestDiesAnywhere")
	crashSeed = flag.Uint64("crash-seed", 0, "seed of TestDiesAnywhere; 0 is another one each time")
)

// TestDiesAnywhere: the daemon dies again and again, after any number of writes of deliveries and
// rollbacks; whatever it was at, the end is right and nothing is orphaned.
func TestDiesAnywhere(t *testing.T) {
	t.Parallel()
	shared(t)
	seed := *crashSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -crash-seed %d", seed)
	c := &crasher{world: emptyWorld(t), random: rand.New(rand.NewPCG(seed, 0)), files: map[string]string{}}
	c.own = true
	c.dir = t.TempDir()
	c.daemon = &daemon{Operator: &operator.Operator{}} // nobody is told of commits: a daemon that starts looks for itself
	c.commit(map[string]string{"apps/keep.yaml": configMap("keep", "n: '0'")})
	c.source()
	c.unit("apps", waits, unbaked, judgedByState)
	for range *crashes {
		c.change()
		c.live()
	}
	// Now it is left in peace.
	c.daemon = c.start(func(o *operator.Config) { o.Dir = c.dir })
	good := c.heal()
	c.ready("apps", good)
	c.good("apps")
	c.compare("after a good commit")
	kept := maps.Clone(c.files)
	c.commit(map[string]string{"apps/a.yaml": configMap("a", "state: broken"), "apps/extra.yaml": configMap("extra", "n: '1'"), "apps/keep.yaml": ""})
	c.failed("apps", "RolledBack", "Git wants")
	c.files = kept
	c.compare("after a bad commit")
}

// judgedByState makes a ConfigMap's own data say how it fares.
func judgedByState(u *kustomizev1.Kustomization) {
	u.Spec.HealthCheckExprs = []kustomize.CustomHealthCheck{{APIVersion: "v1", Kind: "ConfigMap", HealthCheckExpressions: kustomize.HealthCheckExpressions{
		Failed: "has(data.state) && data.state == 'broken'", Current: "!has(data.state) || data.state != 'broken'",
	}}}
}

// crasher is a world whose daemon dies.
type crasher struct {
	*world
	random *rand.Rand
	dir    string
	files  map[string]string
}

// change commits something at random: objects come, change and go, and now and then one is broken. It
// returns the revision, "" where nothing changed.
func (c *crasher) change() string {
	changed := map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		path := "apps/" + name + ".yaml"
		switch c.random.IntN(4) {
		case 0:
			if _, there := c.files[path]; there {
				changed[path] = ""
				delete(c.files, path)
			}
		case 1, 2:
			state := "fine"
			if c.random.IntN(4) == 0 {
				state = "broken"
			}
			changed[path] = configMap(name, fmt.Sprintf("n: '%d'", c.random.IntN(1000)), "state: "+state)
			c.files[path] = changed[path]
		}
	}
	if len(changed) == 0 {
		return ""
	}
	return c.commit(changed)
}

// heal commits what is good.
func (c *crasher) heal() string {
	changed := map[string]string{"apps/a.yaml": configMap("a", "n: '4711'", "state: fine")}
	for path, text := range c.files {
		if changed[path] == "" {
			changed[path] = strings.Replace(text, "broken", "fine", 1)
		}
	}
	c.files = changed
	return c.commit(changed)
}

// live runs a daemon until it has made a number of writes, or has had some time.
func (c *crasher) live() {
	limit := int32(c.random.IntN(14))
	var writes atomic.Int32
	dead := make(chan struct{})
	die := sync.OnceFunc(func() { close(dead) })
	d, err := start(clustertest.Start(c.t), func(o *operator.Config) {
		o.Namespaces, o.InstallCRDs, o.Dir = []string{c.namespace}, false, c.dir
		o.REST.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.Method != http.MethodGet && !strings.Contains(r.URL.Path, "/events") && writes.Add(1) > limit {
					die()
					return nil, errors.New("the process is dead") // and nothing that it sends arrives
				}
				return next.RoundTrip(r)
			})
		})
	})
	check(c.t, err)
	select {
	case <-dead:
	case <-time.After(2 * time.Second):
	}
	d.halt()
}

// compare checks that the unit's objects are those of the files, and that the inventory names them.
func (c *crasher) compare(when string) {
	c.t.Helper()
	want := map[string]string{"keep": ""}
	for path := range c.files {
		want[strings.TrimSuffix(strings.TrimPrefix(path, "apps/"), ".yaml")] = ""
	}
	var list corev1.ConfigMapList
	check(c.t, c.client.List(context.Background(), &list, client.InNamespace(c.namespace), client.MatchingLabels{rule + "name": "apps"}))
	got, inventory := map[string]string{}, map[string]string{}
	for _, one := range list.Items {
		got[one.Name] = ""
		text := c.files["apps/"+one.Name+".yaml"]
		for key, value := range one.Data {
			if text != "" && !strings.Contains(text, key+": "+value) && !strings.Contains(text, key+": '"+value+"'") {
				c.t.Errorf("%s: %s has %s: %s", when, one.Name, key, value)
			}
		}
	}
	for _, entry := range c.get("apps").Status.Inventory.Entries {
		inventory[strings.Split(entry.ID, "_")[1]] = ""
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		c.t.Errorf("%s: the objects (-want +got):\n%s", when, diff)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(inventory))); diff != "" {
		c.t.Errorf("%s: the inventory (-want +got):\n%s", when, diff)
	}
}
