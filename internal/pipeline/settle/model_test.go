package settle_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/pipeline/settle"
)

// world is a model of a unit: a cluster that has one fingerprint, a Git repository that wants one, and
// a controller that does what the decisions say and may die after any of them.
type world struct {
	random  *rand.Rand
	now     time.Time
	git     string
	known   bool // the build works
	cluster string
	book    release.Book
	healthy map[string]bool // by fingerprint
	trial   settle.Sight
	token   int
	retry   *release.Request
	log     []string
}

func (w *world) say(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

// TestModel drives random events against the decisions and checks after each what must always hold.
func TestModel(t *testing.T) {
	for seed := range uint64(400) {
		w := &world{
			random: rand.New(rand.NewPCG(seed, 1)), now: now, git: "v0", known: true,
			healthy: map[string]bool{"v0": true},
		}
		for range 120 {
			w.event()
			w.pass(t, seed)
			w.invariants(t, seed)
			if t.Failed() {
				return
			}
		}
		w.settleDown(t, seed)
	}
}

// event is something that happens outside.
func (w *world) event() {
	w.now = w.now.Add(time.Duration(w.random.IntN(90)) * time.Second)
	switch w.random.IntN(9) {
	case 0, 1:
		w.git = fmt.Sprintf("v%d", w.random.IntN(6))
		if _, told := w.healthy[w.git]; !told {
			w.healthy[w.git] = w.random.IntN(2) == 0
		}
		w.say("commit %s", w.git)
	case 2:
		w.known = !w.known
		w.say("build works: %t", w.known)
	case 3:
		w.token++
		w.retry = &release.Request{Token: fmt.Sprint(w.token)}
		w.say("retry %d", w.token)
	case 4:
		w.trial = settle.Sight{} // a restart forgets what was seen
		w.say("restart")
	}
}

// pass is one pass of the controller.
func (w *world) pass(t *testing.T, seed uint64) {
	wish := settle.Wish{Known: w.known, Fingerprint: w.git, Retry: w.retry}
	course := settle.Plan(w.book, wish)
	latest, _ := w.book.Latest()
	switch course {
	case settle.Begin:
		if latest.Undone() && latest.Fingerprint == w.git && (w.retry == nil || w.book.Answered(w.retry.Token)) {
			t.Errorf("seed %d: %s is tried again although it was undone and nobody asked\n%v", seed, w.git, w.log)
		}
		one := release.Release{Number: w.book.Next(), Fingerprint: w.git, Verdict: release.Pending, Begun: w.now}
		if w.retry != nil && !w.book.Answered(w.retry.Token) {
			one.Request = w.retry
		}
		w.book, w.cluster, w.trial = w.book.With(one), w.git, settle.Sight{}
		w.judge(one)
	case settle.Deliver:
		w.cluster = w.git
		w.judge(latest)
	case settle.GoBack:
		target, found := w.book.Numbered(latest.Target)
		if !found {
			t.Errorf("seed %d: the target of a rollback is not kept\n%v", seed, w.log)
			return
		}
		w.cluster = target.Fingerprint
		if w.random.IntN(3) > 0 { // otherwise killed half-way
			latest.Verdict, latest.Ended = release.RolledBack, w.now
			w.book = w.book.With(latest)
		}
	case settle.Hold, settle.Freeze, settle.Keep:
	}
	w.say("course %d, cluster %s", course, w.cluster)
	w.book, _ = w.book.Cut()
}

func (w *world) judge(one release.Release) {
	if one.Verdict != release.Pending {
		return
	}
	sight := settle.Sight{Awaited: true, Timeout: time.Minute}
	if w.healthy[one.Fingerprint] {
		if w.trial.Healthy.IsZero() {
			w.trial.Healthy = w.now
		}
		sight.Healthy, sight.Was = w.trial.Healthy, true
	} else {
		if w.trial.Bad.IsZero() {
			w.trial.Bad = w.now
		}
		sight.Failed, sight.Bad = 1, w.trial.Bad
	}
	ruling, trigger := settle.Judge(one, sight, settle.Policy{Bake: 30 * time.Second}, w.now)
	switch ruling {
	case settle.Praise:
		one.Verdict = release.Good
	case settle.Condemn:
		sentence := settle.Pass(w.book, one, settle.Policy{}, w.now)
		one.Trigger, one.Decided, one.Target, one.Frozen = trigger, w.now, sentence.Target, sentence.Freeze
		one.Verdict = release.RollingBack
		if sentence.Target == 0 {
			one.Verdict = release.Failed
		}
	default:
		return
	}
	w.say("release %d (%s) is %s", one.Number, one.Fingerprint, one.Verdict)
	w.book = w.book.With(one)
}

// invariants are what must hold at every moment.
func (w *world) invariants(t *testing.T, seed uint64) {
	for i, one := range w.book {
		if one.Verdict == release.Good && !w.healthy[one.Fingerprint] {
			t.Errorf("seed %d: release %d is called good, and never was\n%v", seed, one.Number, w.log)
		}
		if i > 0 && one.Number >= w.book[i-1].Number {
			t.Errorf("seed %d: the book is out of order", seed)
		}
		if one.Undone() {
			target, found := w.book.Numbered(one.Target)
			if i == 0 && (!found || target.Verdict != release.Good) {
				t.Errorf("seed %d: release %d went back to one that was not good\n%v", seed, one.Number, w.log)
			}
		}
	}
	if len(w.book) > release.Keep+2 {
		t.Errorf("seed %d: %d releases are kept", seed, len(w.book))
	}
}

// settleDown lets everything come to rest, and checks that the cluster is where it should be.
func (w *world) settleDown(t *testing.T, seed uint64) {
	w.known, w.retry = true, nil
	for range 30 {
		w.now = w.now.Add(time.Minute)
		w.pass(t, seed)
	}
	latest, _ := w.book.Latest()
	standing, _ := w.book.Standing()
	switch {
	case latest.Undone():
		if w.cluster != standing.Fingerprint || !w.healthy[w.cluster] {
			t.Errorf("seed %d: while held, the cluster runs %s\n%v", seed, w.cluster, w.log)
		}
		if !latest.Frozen && latest.Fingerprint != w.git {
			t.Errorf("seed %d: Git wants %s, which was never tried\n%v", seed, w.git, w.log)
		}
	case w.cluster != w.git:
		t.Errorf("seed %d: nothing is held, and the cluster runs %s instead of %s\n%v", seed, w.cluster, w.git, w.log)
	case w.healthy[w.git] && latest.Verdict != release.Good:
		t.Errorf("seed %d: %s is healthy, and release %d is %s\n%v", seed, w.git, latest.Number, latest.Verdict, w.log)
	}
}
