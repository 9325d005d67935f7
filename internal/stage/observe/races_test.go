package observe

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/kube/stream"
	"holdfast.dev/holdfast/internal/model/object"
)

var (
	testUnit = object.Owner{Namespace: "flux-system", Name: "apps"}
	testRef  = object.Ref{Version: "v1", Kind: "ConfigMap", Namespace: "default", Name: "settings"}
)

// stage is an observer whose watch the test plays itself.
type stage struct {
	t        testing.TB
	observer *Observer
	sink     stream.Sink[sighting]
	causes   []Cause // why the unit was woken for the object
}

// newStage makes an observer of a server that is down, claims the object, and takes the part of the
// watch.
func newStage(t testing.TB) *stage {
	t.Helper()
	down := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		answer.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(down.Close)
	cluster, err := kube.Connect("", &rest.Config{Host: down.URL}, kube.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t}
	s.observer = New(cluster, Options{Manager: "kustomize-controller", Gather: time.Hour})
	t.Cleanup(s.observer.Stop)
	if err := s.observer.Claim(Claim{Owner: testUnit, Owned: []object.Ref{testRef}}); err != nil {
		t.Fatal(err)
	}
	s.connect()
	return s
}

// connect begins a new life of the watch.
func (s *stage) connect() {
	s.observer.lock.Lock()
	defer s.observer.lock.Unlock()
	f := s.observer.kinds[schema.GroupKind{Kind: "ConfigMap"}].feed
	f.run = &run{feed: f, stop: func() {}}
	s.sink = s.observer.sink(f.run)
}

// deliver plays the part of the waker, which is asleep in these tests.
func deliver(s *stage) {
	for _, event := range s.observer.waker.take() {
		if event.Owner == testUnit && event.Ref == testRef {
			s.causes = append(s.causes, event.Cause)
		}
	}
}

// state of the object: ours as we wrote it, or with a field that somebody took over.
const (
	ours    = `{"f:data":{"f:colour":{}}}`
	invaded = `{"f:data":{}}`
)

func settings(version, fields string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{
			"name": testRef.Name, "namespace": testRef.Namespace, "uid": "u-1", "resourceVersion": version,
			"labels": map[string]any{object.LabelOwnerName: testUnit.Name, object.LabelOwnerNS: testUnit.Namespace},
			"managedFields": []any{map[string]any{
				"manager": "kustomize-controller", "operation": "Apply", "apiVersion": "v1",
				"time": "2026-01-01T00:00:00Z", "fieldsV1": map[string]any{"x": fields},
			}},
		},
	}}
}

func (s *stage) item(version, fields string) stream.Item[sighting] {
	u := settings(version, fields)
	return stream.Item[sighting]{Namespace: testRef.Namespace, Name: testRef.Name, ResourceVersion: version, Value: s.sink.Look(u)}
}

type move func(*stage)

func saw(version, fields string) move {
	return func(s *stage) { s.observer.Saw(settings(version, fields)) }
}

func put(version, fields string) move {
	return func(s *stage) { s.sink.Put(s.item(version, fields)) }
}

func drop(version string) move {
	return func(s *stage) { s.sink.Drop(s.item(version, ours)) }
}

func removed(s *stage) { s.observer.Removed(testRef, "u-1") }

// list is a complete list at a version; empty fields mean that the object is not in it.
func list(version string, latest bool, at, fields string) move {
	return func(s *stage) {
		var items []stream.Item[sighting]
		if fields != "" {
			items = append(items, s.item(at, fields))
		}
		s.sink.Replace(items, stream.Position{ResourceVersion: version, Latest: latest})
	}
}

func TestRaces(t *testing.T) {
	type seen struct {
		Known, Exists, Drifted bool
		Version                string
	}
	empty := list("50", true, "", "")
	tests := map[string]struct {
		why    string
		steps  []move
		want   seen
		causes []Cause
	}{
		"AnswerThenEcho": {
			why:   "the watch brings our own write again",
			steps: []move{empty, saw("100", ours), put("100", ours)},
			want:  seen{true, true, false, "100"},
		},
		"LateEventOfThePast": {
			why:   "what the watch brings was overwritten by us already",
			steps: []move{empty, saw("100", ours), saw("110", ours), put("105", invaded)},
			want:  seen{true, true, false, "110"},
		},
		"ChangeBeforeAnswer": {
			why:    "somebody changed our object before we have read the answer to our write",
			steps:  []move{empty, put("105", invaded), saw("100", ours)},
			want:   seen{true, true, true, "105"},
			causes: []Cause{Drifted},
		},
		"StatusBeforeAnswer": {
			why:   "a change that leaves our fields alone is no drift, however it is timed",
			steps: []move{empty, put("105", ours), saw("100", ours)},
			want:  seen{true, true, false, "105"},
		},
		"AnswersOutOfOrder": {
			why:   "of two answers the later write counts, whichever is read first",
			steps: []move{empty, saw("110", ours), saw("100", invaded), put("110", ours)},
			want:  seen{true, true, false, "110"},
		},
		"EchoBeforeAnswer": {
			why:   "the watch brings our second write before its answer: taken back when that comes",
			steps: []move{empty, saw("100", ours), put("110", invaded), saw("110", invaded)},
			want:  seen{true, true, false, "110"},
		},
		"EchoLongBeforeAnswer": {
			why:    "too late to be taken back; the unit looks and finds nothing to do",
			steps:  []move{empty, saw("100", ours), put("110", invaded), deliver, saw("110", invaded)},
			want:   seen{true, true, false, "110"},
			causes: []Cause{Drifted},
		},
		"Drift": {
			why:    "told once, however many events there are",
			steps:  []move{empty, saw("100", ours), put("105", invaded), put("106", invaded)},
			want:   seen{true, true, true, "106"},
			causes: []Cause{Drifted},
		},
		"DriftAgain": {
			why:    "told again after we have put it right",
			steps:  []move{empty, saw("100", ours), put("105", invaded), deliver, saw("110", ours), put("111", invaded)},
			want:   seen{true, true, true, "111"},
			causes: []Cause{Drifted, Drifted},
		},
		"ChangedAgainBeforeAnswer": {
			why: "somebody changed our object again while we were putting the first change right: his second " +
				"change was no news when it came, and is not put right by our write",
			steps:  []move{empty, saw("100", ours), put("105", invaded), deliver, put("115", invaded), saw("110", ours)},
			want:   seen{true, true, true, "115"},
			causes: []Cause{Drifted, Drifted},
		},
		"DeletedAgainBeforeAnswer": {
			why:    "the same with deletions: the object that we have just created again is gone already",
			steps:  []move{empty, saw("100", ours), drop("105"), deliver, put("110", ours), drop("115"), deliver, saw("110", ours)},
			want:   seen{true, false, false, "115"},
			causes: []Cause{Gone, HealthChanged, Gone, Gone},
		},
		"DeletedBeforeAnswer": {
			why:    "the object was deleted before we have read the answer to our write",
			steps:  []move{empty, put("100", ours), drop("101"), saw("100", ours)},
			want:   seen{true, false, false, "101"},
			causes: []Cause{Gone},
		},
		"OldDeletionAfterRecreation": {
			why:   "the deletion belongs to the object that we have replaced",
			steps: []move{empty, saw("100", ours), removed, saw("110", ours), drop("105")},
			want:  seen{true, true, false, "110"},
		},
		"ListOlderThanWrite": {
			why:   "a list from a lagging cache does not know our new object; that does not make it gone",
			steps: []move{saw("100", ours), list("90", false, "", ""), put("100", ours)},
			want:  seen{true, true, false, "100"},
		},
		"ListNewerThanWrite": {
			why:    "a list as of later lacks our object: somebody deleted it",
			steps:  []move{saw("100", ours), list("120", true, "", "")},
			want:   seen{true, false, false, "120"},
			causes: []Cause{Gone},
		},
		"OldListResurrects": {
			why:    "a list from a lagging cache still has what is gone",
			steps:  []move{empty, saw("100", ours), drop("110"), list("105", false, "100", ours)},
			want:   seen{true, false, false, "110"},
			causes: []Cause{Gone},
		},
		"DriftWhileBlind": {
			why:    "what happened while the watch was away shows in the list after it",
			steps:  []move{empty, saw("100", ours), list("150", true, "140", invaded)},
			want:   seen{true, true, true, "140"},
			causes: []Cause{Drifted},
		},
		"HistoryTurnedBack": {
			why:    "after a restored backup, versions start again lower; the past future must not blind us",
			steps:  []move{empty, saw("1000", ours), put("1000", ours), list("60", true, "55", invaded), put("61", invaded)},
			want:   seen{true, true, true, "61"},
			causes: []Cause{Drifted},
		},
		"GoneByTurnedHistory": {
			why:    "the backup was made before the object",
			steps:  []move{empty, put("1000", ours), saw("1000", ours), list("60", true, "", "")},
			want:   seen{true, false, false, "60"},
			causes: []Cause{Gone},
		},
		"FirstListIsSilent": {
			why:   "after a restart, what is there is no news; the claim is told as a whole",
			steps: []move{list("90", true, "80", ours)},
			want:  seen{true, true, false, "80"},
		},
		"OwnDeletion": {
			why:    "the end of our own deletion is told",
			steps:  []move{empty, saw("100", ours), removed, drop("105")},
			want:   seen{true, false, false, "105"},
			causes: []Cause{Gone},
		},
		"Incomparable": {
			why:    "versions that cannot be compared: the last word counts",
			steps:  []move{list("b", true, "", ""), saw("zz", ours), put("aa", invaded)},
			want:   seen{true, true, true, "aa"},
			causes: []Cause{Drifted},
		},
		"OldLife": {
			why:   "a watch whose time is over is not heard",
			steps: []move{empty, saw("100", ours), func(s *stage) { old := s.sink; s.connect(); s.sink = old }, put("105", invaded)},
			want:  seen{true, true, false, "100"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			for _, move := range test.steps {
				move(s)
			}
			state := s.observer.State(testRef)
			got := seen{state.Known, state.Exists, state.Drifted, state.ResourceVersion}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.why, diff)
			}
			deliver(s)
			if diff := cmp.Diff(test.causes, s.causes); diff != "" {
				t.Errorf("woken; %s (-want +got):\n%s", test.why, diff)
			}
		})
	}
}

// TestClaimTwice: repeating a claim changes nothing, and an object that a unit owns and names among
// the others as well counts once.
func TestClaimTwice(t *testing.T) {
	s := newStage(t)
	other := testRef
	other.Name = "other"
	claims := map[string]struct {
		why   string
		claim Claim
		held  bool
		links int
	}{
		"Same":      {why: "the claim that is held", claim: Claim{Owned: []object.Ref{testRef}}, held: true, links: 1},
		"Repeated":  {why: "among the others, too", claim: Claim{Owned: []object.Ref{testRef}, Others: []object.Ref{testRef}}, held: true, links: 1},
		"More":      {why: "another object", claim: Claim{Owned: []object.Ref{testRef, other}}, links: 2},
		"Fewer":     {why: "nothing any more", claim: Claim{}},
		"NotOwned":  {why: "an object that was owned is only looked at", claim: Claim{Others: []object.Ref{testRef}}, links: 1},
		"OwnRule":   {why: "the same object, judged by a rule", claim: Claim{Owned: []object.Ref{testRef}, Health: []HealthExpr{{Current: "true"}}}, links: 1},
		"Versioned": {why: "the same object in another version", claim: Claim{Owned: []object.Ref{{Version: "v2", Kind: "ConfigMap", Namespace: testRef.Namespace, Name: testRef.Name}}}, links: 1},
	}
	for name, test := range claims {
		t.Run(name, func(t *testing.T) {
			base := Claim{Owner: testUnit, Owned: []object.Ref{testRef}}
			if err := s.observer.Claim(base); err != nil {
				t.Fatal(err)
			}
			round := s.observer.claims[testUnit].round
			test.claim.Owner = testUnit
			if err := s.observer.Claim(test.claim); err != nil {
				t.Fatal(err)
			}
			held := s.observer.claims[testUnit]
			if (held.round == round) != test.held || len(held.entries) != test.links {
				t.Errorf("held %t with %d links, want %t with %d: %s", held.round == round, len(held.entries), test.held, test.links, test.why)
			}
			users := 0
			for f := range s.observer.feeds {
				users += f.users
				for _, count := range f.versions {
					users -= count
				}
			}
			if users != 0 {
				t.Errorf("feeds count %d users too many: %s", users, test.why)
			}
		})
	}
}
