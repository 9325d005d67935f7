package operator_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/operator"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/database"
)

// recorded is a world whose record can be read, and whose people are alerted.
type recorded struct {
	*world
	hook  *webhook
	store string
}

func newRecorded(t *testing.T) recorded {
	t.Helper()
	r := recorded{hook: newWebhook(t), store: filepath.Join(t.TempDir(), "record.db")}
	r.world = newOwnWorld(t, func(c *operator.Config) {
		c.LoopbackAlerts, c.Audit.Store = true, database.File(r.store)
	})
	r.addAlerts(r.hook)
	return r
}

// alerted waits until people are told of a unit with a reason, and returns what they are told.
func (r recorded) alerted(reason string) string {
	r.t.Helper()
	for {
		if said := r.hook.next(r.world); strings.HasPrefix(said, "apps "+reason+" ") {
			return said
		}
	}
}

// record returns what is recorded of a unit, of some kinds, the oldest first.
func (r recorded) record(kinds ...record.Kind) []record.Entry {
	r.t.Helper()
	db, err := database.OpenToRead(database.File(r.store))
	check(r.t, err)
	defer func() { _ = db.Close() }()
	found, err := audit.List(r.t.Context(), db, audit.Filter{Subject: "Kustomization/" + r.namespace + "/apps", Kinds: kinds})
	check(r.t, err)
	var entries []record.Entry
	for _, one := range found {
		entries = append(entries, one.Entry)
	}
	return entries
}

// retry asks for one more try, as a person.
func (r recorded) retry(token string) {
	r.t.Helper()
	r.change("apps", func(u *kustomizev1.Kustomization) {
		annotate(u, "holdfast.dev/retry", token)
		annotate(u, "holdfast.dev/requested-by", "jane")
		annotate(u, "holdfast.dev/reason", "it is mended")
	})
}

// TestFrozen: after too many rollbacks nothing is tried any more, whatever Git wants, until a person
// says so; then what Git wants is delivered.
func TestFrozen(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	r.deliver("apps", map[string]string{"apps/a.yaml": configMap("a", "color: blue")}, waits, unbaked, judgedByState)
	r.good("apps")
	for n := range 3 {
		bad := r.commit(map[string]string{"apps/a.yaml": configMap("a", fmt.Sprintf("n: '%d'", n), "state: broken")})
		r.failed("apps", "RolledBack", "Git wants "+bad)
	}
	r.commit(map[string]string{"apps/a.yaml": configMap("a", "n: '4'", "state: broken")})
	r.failed("apps", "Frozen", "rolled back too often within an hour")
	if said := r.alerted("Frozen"); !strings.Contains(said, "holdfast retry apps -n "+r.namespace) {
		t.Errorf("people are not told what to do: %s", said)
	}
	await(r.world, r.configMap("a"), "back", holds("color", "blue"))
	if told := r.releases("apps"); !told[0].Frozen || told[0].Verdict != "RolledBack" || told[1].Frozen {
		t.Errorf("the newest release is to be frozen, and no other: %+v", told[:2])
	}
	if frozen := r.record(record.Frozen); len(frozen) != 1 || frozen[0].Release != 5 {
		t.Errorf("recorded: %+v", frozen)
	}

	// A commit that would be good is not tried by itself.
	mended := r.commit(map[string]string{"apps/a.yaml": configMap("a", "color: green")})
	r.failed("apps", "Frozen", "Git wants "+mended)
	if read(r.world, r.configMap("a")).Object["data"].(map[string]any)["color"] != "blue" { //nolint:forcetypeassert // as it was written
		t.Error("a frozen unit was changed")
	}
	// A person acknowledges.
	r.retry("1")
	r.ready("apps", mended)
	r.good("apps")
	await(r.world, r.configMap("a"), "as Git wants", holds("color", "green"))
	r.alerted(meta.ReconciliationSucceededReason)
	asked, thawed, ended := r.record(record.Requested), r.record(record.Thawed), r.record(record.HoldEnded)
	if len(thawed) != 1 || thawed[0].Release != 6 || len(ended) == 0 || ended[len(ended)-1].Reason != "Retried" {
		t.Errorf("the thaw is not recorded: %+v %+v", thawed, ended)
	}
	if want := (record.Actor{Type: record.Person, Name: "jane", Claimed: true}); len(asked) != 1 || asked[0].Actor != want || asked[0].Message != "it is mended" {
		t.Errorf("who asked is not recorded as claimed: %+v", asked)
	}
}

// TestRollbackFails: where the last good release is unhealthy too, that is the end of what can be done;
// people are told, and a later try may come to good.
func TestRollbackFails(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	r.deliver("apps", map[string]string{"apps/a.yaml": configMap("a", "color: blue"), "apps/b.yaml": configMap("b", "color: blue")}, waits, unbaked, judgedByState)
	r.good("apps")
	r.change("apps", func(u *kustomizev1.Kustomization) { annotate(u, "holdfast.dev/bake", "1h") })
	second := r.commit(map[string]string{"apps/a.yaml": configMap("a", "color: red")})
	r.ready("apps", second)
	for _, name := range []string{"a", "b"} { // a field that neither release has, so no release can mend it
		r.editAs("other", r.configMap(name), set("state", "broken"))
	}
	u := r.failed("apps", "RollbackFailed", "going back to release 1 failed")
	if message := condition(u, meta.ReadyCondition).Message; !strings.Contains(message, "Git wants "+second) || !strings.Contains(message, "holdfast retry apps") {
		t.Errorf("the message says neither what Git wants nor what to do: %s", message)
	}
	await(r.world, r.configMap("a"), "as the last good release has it", holds("color", "blue"))
	r.alerted("RollbackFailed")
	if told := r.verdicts("apps"); !slices.Equal(told, []string{"RollbackFailed", "Good"}) {
		t.Errorf("the releases are %v", told)
	}
	if failed := r.record(record.RollbackBegun, record.RollbackFailed, record.Held); len(failed) != 3 || failed[1].Kind != record.RollbackFailed ||
		!strings.Contains(failed[1].Message, "going back to release 1 failed") {
		t.Errorf("recorded: %+v", failed)
	}

	// A person mends the objects, and asks for one more try.
	for _, name := range []string{"a", "b"} {
		r.editAs("other", r.configMap(name), func(u *unstructured.Unstructured) { unstructured.RemoveNestedField(u.Object, "data", "state") })
	}
	r.change("apps", unbaked)
	r.retry("1")
	r.ready("apps", second)
	r.good("apps")
	await(r.world, r.configMap("a"), "as Git wants", holds("color", "red"))
	eventually.True(t, "the end of the hold is recorded", func() bool { return len(r.record(record.HoldEnded)) == 1 })
}
