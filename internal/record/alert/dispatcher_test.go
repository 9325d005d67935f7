package alert

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/record/alert/send"
	"holdfast.dev/holdfast/internal/record/event"
)

// book is a cluster with some alerts, whose providers are all at one address.
type book struct {
	rules   []Rule
	address string
}

func (b book) Rules(context.Context) ([]Rule, error) { return b.rules, nil }

func (b book) Labels(context.Context, event.Event) (map[string]string, error) {
	return nil, errors.New("no labels")
}

func (b book) Open(_ context.Context, namespace, provider string) (send.Target, error) {
	return send.Target{Type: "generic", Address: redact.Text(b.address + "/" + namespace + "/" + provider), Token: "canary-token"}, nil
}

// memory is a ledger that outlives a dispatcher.
type memory struct {
	lock sync.Mutex
	kept map[string][]byte
}

func (m *memory) Load(context.Context) (map[string][]byte, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	return maps.Clone(m.kept), nil
}

func (m *memory) Save(_ context.Context, changes map[string][]byte) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	for key, value := range changes {
		if m.kept[key] = value; value == nil {
			delete(m.kept, key)
		}
	}
	return nil
}

func (m *memory) queued() int {
	m.lock.Lock()
	defer m.lock.Unlock()
	count := 0
	for key := range m.kept {
		if strings.HasPrefix(key, queuePrefix) {
			count++
		}
	}
	return count
}

// quick are limits under which tests do not wait.
func quick() Limits {
	return Limits{Backoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond, Rate: 10_000, Burst: 10_000}
}

// rig runs a dispatcher, and hands out what it sends and tells.
type rig struct {
	*Dispatcher
	sent    chan string
	notices chan Notice
	meter   *meter
	stop    func()
}

// meter writes down what is counted.
type meter struct {
	lock    sync.Mutex
	ended   []string // "type result"
	waiting int
	oldest  time.Duration
}

func (m *meter) Alert(provider string, err error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.ended = append(m.ended, fmt.Sprint(provider, " ", err == nil))
}

func (m *meter) AlertQueue(waiting int, oldest time.Duration) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.waiting, m.oldest = waiting, max(m.oldest, oldest)
}

func (m *meter) read() (ended []string, waiting int, oldest time.Duration) {
	m.lock.Lock()
	defer m.lock.Unlock()
	return slices.Clone(m.ended), m.waiting, m.oldest
}

// run starts a dispatcher. answer says what becomes of the n-th message, from 1 on.
func run(t *testing.T, rules []Rule, ledger Ledger, limits Limits, answer func(n int) int) *rig {
	t.Helper()
	r := &rig{sent: make(chan string, 10_000), notices: make(chan Notice, 10_000), meter: &meter{}}
	n := 0
	var lock sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		lock.Lock()
		n++
		code := answer(n)
		lock.Unlock()
		var said event.Event
		body := http.MaxBytesReader(w, request.Body, 1<<20)
		decoded := make([]byte, 1<<16)
		size, _ := body.Read(decoded)
		said, _ = event.Decode(decoded[:size])
		w.WriteHeader(code)
		if code == http.StatusOK {
			r.sent <- request.URL.Path + " " + said.InvolvedObject.Name + " " + said.Reason + " " + said.Message
		}
	}))
	t.Cleanup(server.Close)
	r.Dispatcher = New(Options{
		Book: book{rules, server.URL}, Sender: send.NewClient(send.Options{Loopback: true}), Ledger: ledger, Limits: limits,
		Notify: func(n Notice) { r.notices <- n }, Meter: r.meter,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Start(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the dispatcher ended with: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func always(code int) func(int) int { return func(int) int { return code } }

// next waits for the next message, or notice.
func next[T any](t *testing.T, from chan T) T {
	t.Helper()
	select {
	case one := <-from:
		return one
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func webRule(severity string) Rule {
	return Rule{
		Namespace: "apps", Name: "alert", Severity: severity, Sources: []Source{{Kind: "Kustomization", Name: "*"}},
		Provider: Provider{Name: "hook", Type: "generic"},
	}
}

func named(e event.Event, name string) event.Event {
	e.InvolvedObject.Name = name
	return e
}

// TestStory: a failure is one message, whatever else is said of it, and so is its end.
func TestStory(t *testing.T) {
	r := run(t, []Rule{webRule("error")}, nil, quick(), always(200))
	finished := said("ReconciliationSucceeded", "finished in 1s", "b")
	finished.Metadata["kustomize.toolkit.fluxcd.io/commit_status"] = "update"
	for _, e := range []event.Event{
		said("ReconciliationSucceeded", "finished in 3s", "a"),
		said("HealthCheckFailed", "failed after 1.1s", "a"), said("HealthCheckFailed", "failed after 1.2s", "a"),
		finished, finished,
		named(said("BuildFailed", "end", "b"), "end"),
	} {
		r.Take(e)
	}
	var got []string
	for len(got) == 0 || !strings.Contains(got[len(got)-1], "BuildFailed end") {
		got = append(got, next(t, r.sent))
	}
	want := []string{
		"/apps/hook web HealthCheckFailed failed after 1.1s",
		"/apps/hook web ReconciliationSucceeded Recovered from HealthCheckFailed: finished in 1s",
		"/apps/hook end BuildFailed end",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages differ (-want +got):\n%s", diff)
	}
}

// TestSameNewsOnce: the durations in Flux's messages do not make them news.
func TestSameNewsOnce(t *testing.T) {
	r := run(t, []Rule{webRule("info")}, nil, quick(), always(200))
	for _, message := range []string{"finished in 1s", "finished in 2.5s", "finished in 17ms", "another"} {
		r.Take(said("ReconciliationSucceeded", message, "a"))
	}
	if first, second := next(t, r.sent), next(t, r.sent); !strings.HasSuffix(first, "in 1s") || !strings.HasSuffix(second, "another") {
		t.Errorf("sent %q and %q", first, second)
	}
}

// TestMeter: a message counts once, when it has arrived or is given up, however often it was tried; while
// it waits, the queue says for how long.
func TestMeter(t *testing.T) {
	limits := quick()
	limits.Attempts = 3
	r := run(t, []Rule{webRule("info")}, nil, limits, func(n int) int {
		switch {
		case n <= 2, n > 3: // the first message arrives at the third attempt, the second never
			return http.StatusBadGateway
		default:
			return http.StatusOK
		}
	})
	r.Take(said("ReconciliationSucceeded", "one", "a"))
	next(t, r.sent)
	eventually.True(t, "the first message is counted, and nothing waits", func() bool {
		ended, waiting, oldest := r.meter.read()
		return slices.Equal(ended, []string{"generic true"}) && waiting == 0 && oldest > 0
	})
	r.Take(said("ReconciliationSucceeded", "two", "b"))
	eventually.True(t, "the second is counted as given up", func() bool {
		ended, waiting, _ := r.meter.read()
		return slices.Equal(ended, []string{"generic true", "generic false"}) && waiting == 0
	})
}

// TestTroubledService: a service that fails n times gets the message at the next attempt, and people
// are told when the trouble begins and when it ends.
func TestTroubledService(t *testing.T) {
	r := run(t, []Rule{webRule("error")}, nil, quick(), func(n int) int {
		if n <= 5 {
			return http.StatusBadGateway
		}
		return http.StatusOK
	})
	r.Take(said("BuildFailed", "x", "a"))
	next(t, r.sent)
	if begun := next(t, r.notices); begun.Reason != "DeliveryFailing" || begun.Good || begun.Kind != "Provider" {
		t.Errorf("first told: %+v", begun)
	}
	if ended := next(t, r.notices); ended.Reason != "DeliveryRecovered" || !ended.Good {
		t.Errorf("then told: %+v", ended)
	}
}

// TestRestart: what waits survives the process, in its order, and what people know does, too.
func TestRestart(t *testing.T) {
	ledger := &memory{kept: map[string][]byte{}}
	slow := quick()
	slow.MaxBackoff = time.Hour
	slow.Backoff = time.Hour
	first := run(t, []Rule{webRule("error")}, ledger, slow, always(503))
	first.Take(said("BuildFailed", "x", "a"))
	first.Take(said("ReconciliationSucceeded", "y", "b"))
	first.Take(named(said("BuildFailed", "z", "b"), "other"))
	next(t, first.notices)
	first.stop()
	if got := ledger.queued(); got != 3 {
		t.Fatalf("%d messages are kept", got)
	}
	for key, value := range ledger.kept {
		if strings.Contains(key+string(value), "canary") || strings.Contains(string(value), "127.0.0.1") {
			t.Errorf("a secret or an address is kept: %s = %s", key, value)
		}
	}
	for key, value := range ledger.kept { // the hour is over
		ledger.kept[key] = []byte(strings.Replace(string(value), `"after":"`+time.Now().Format("2006"), `"after":"2001`, 1))
	}
	second := run(t, []Rule{webRule("error")}, ledger, quick(), always(200))
	second.Take(named(said("BuildFailed", "z", "b"), "other")) // people know
	second.Take(named(said("BuildFailed", "end", "b"), "end"))
	got := map[string][]string{}
	for range 4 {
		_, rest, _ := strings.Cut(next(t, second.sent), " ")
		object, text, _ := strings.Cut(rest, " ")
		got[object] = append(got[object], text)
	}
	want := map[string][]string{
		"web": {"BuildFailed x", "ReconciliationSucceeded Recovered from BuildFailed: y"}, "other": {"BuildFailed z"}, "end": {"BuildFailed end"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages differ (-want +got):\n%s", diff)
	}
	second.stop()
	if got := ledger.queued(); got != 0 {
		t.Errorf("%d messages are still kept", got)
	}
}

// TestGivenUp: what can never arrive is given up with a notice, and the next failure is told as new.
func TestGivenUp(t *testing.T) {
	cases := map[string]struct {
		why    string
		limits func(*Limits)
		code   int
	}{
		"Refused":  {"a message that the service refuses", func(*Limits) {}, http.StatusBadRequest},
		"Attempts": {"too many attempts", func(l *Limits) { l.Attempts = 3 }, http.StatusBadGateway},
		"Age":      {"too old", func(l *Limits) { l.Age = time.Nanosecond }, http.StatusBadGateway},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			limits := quick()
			c.limits(&limits)
			ledger := &memory{kept: map[string][]byte{}}
			r := run(t, []Rule{webRule("error")}, ledger, limits, always(c.code))
			for range 2 {
				r.Take(said("BuildFailed", "x", "a"))
				for {
					told := next(t, r.notices)
					if told.Reason == "NotificationDispatchFailed" {
						if told.Kind != "Alert" || told.Name != "alert" || !strings.Contains(told.Message, "Kustomization/apps/web") || strings.Contains(told.Message, "127.0.0.1") {
							t.Errorf("%s: told %+v", c.why, told)
						}
						break
					}
				}
			}
			r.stop()
			if len(ledger.kept) != 0 {
				t.Errorf("%s: kept %v", c.why, ledger.kept)
			}
		})
	}
}

// TestStorm: a service that is down and thousands of events cost bounded room, block nobody, and the
// failures are what is kept.
func TestStorm(t *testing.T) {
	limits := quick()
	limits.Waiting, limits.Backoff, limits.MaxBackoff = 50, time.Hour, time.Hour
	r := run(t, []Rule{webRule("info")}, nil, limits, always(503))
	r.Take(named(said("BuildFailed", "kept", "a"), "first"))
	next(t, r.notices)
	began := time.Now()
	for i := range 3000 {
		r.Take(named(said("Progressing", fmt.Sprint("news ", i), "a"), fmt.Sprint("unit-", i)))
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("taking 3000 events took %s", took)
	}
	for {
		if told := next(t, r.notices); told.Reason == "MessageDropped" && strings.Contains(told.Message, "unit-2949") {
			break
		}
	}
	r.queue.lock.Lock()
	defer r.queue.lock.Unlock()
	waiting := r.queue.lanes["apps/hook"].waiting
	if len(waiting) != 50 || waiting[0].Event.InvolvedObject.Name != "first" {
		t.Errorf("%d wait, the first about %s", len(waiting), waiting[0].Event.InvolvedObject.Name)
	}
}

// TestFullOfEvents: a dispatcher that does not run takes what it has room for, and blocks nobody.
func TestFullOfEvents(t *testing.T) {
	d := New(Options{Book: book{}, Notify: func(Notice) {}})
	for i := range maxIncoming + 10 {
		if took := d.Take(said("X", "", "a")); took != (i < maxIncoming) {
			t.Fatalf("event %d: taken is %t", i, took)
		}
	}
	if _, lost := d.Waiting(); lost != 10 {
		t.Errorf("%d are said to be lost", lost)
	}
}

// TestNobodyToTell: what keeps an alert from being told is told to its people.
func TestNobodyToTell(t *testing.T) {
	cases := map[string]struct {
		why    string
		change func(*Rule)
		own    bool
		want   Notice
	}{
		"Missing": {"there is no provider", func(r *Rule) { r.Provider.Missing = true }, false, Notice{Kind: "Alert", Namespace: "apps", Name: "alert", Reason: "NotificationDispatchFailed", Message: "there is no Provider hook in namespace apps"}},
		"Type":    {"its type is not served", func(r *Rule) { r.Provider.Type = "pigeon" }, false, Notice{Kind: "Provider", Namespace: "apps", Name: "hook", Reason: "UnsupportedType", Message: "providers of type pigeon are not served by Holdfast yet: nothing is sent to this one"}},
		"Labels":  {"labels cannot be read", func(r *Rule) { r.Sources[0].Labels = map[string]string{"a": "b"} }, false, Notice{Kind: "Alert", Namespace: "apps", Name: "alert", Reason: "SourceFetchFailed", Message: "reading the labels of Kustomization/apps/web: no labels"}},
		"Foreign": {"other namespaces are blocked", func(r *Rule) { r.Namespace, r.Sources[0].Namespace = "tenant", "apps" }, true, Notice{Kind: "Alert", Namespace: "tenant", Name: "alert", Reason: "AccessDenied", Message: "alert tenant/alert is not told of Kustomization/apps/web: references to other namespaces are blocked"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			rule := webRule("info")
			c.change(&rule)
			notices := make(chan Notice, 10)
			d := New(Options{Book: book{rules: []Rule{rule}}, Notify: func(n Notice) { notices <- n }, OwnNamespaceOnly: c.own})
			d.admit(t.Context(), said("BuildFailed", "x", "a"))
			if diff := cmp.Diff(c.want, next(t, notices)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
			if waiting, _ := d.Waiting(); waiting != 0 {
				t.Errorf("%s: %d messages wait", c.why, waiting)
			}
		})
	}
}

// TestQueue: rates, pauses and order, on a clock of its own.
func TestQueue(t *testing.T) {
	now := time.Now()
	q := newQueue(Limits{Rate: 1, Burst: 2, Backoff: 10 * time.Second, MaxBackoff: time.Minute}.complete())
	for i, name := range []string{"a", "a", "b"} {
		q.add(&delivery{Number: int64(i), Namespace: "n", Provider: "p", Since: now, Event: named(said("BuildFailed", "", ""), name)}, now)
	}
	q.add(&delivery{Number: 9, Namespace: "n", Provider: "other"}, now)
	taken := func() []int64 {
		var numbers []int64
		for one, _ := q.next(now); one != nil; one, _ = q.next(now) {
			numbers = append(numbers, one.Number)
			if one.Provider == "p" && one.Number == 0 && one.Attempts == 0 {
				q.finish(one, &fault.Error{After: 30 * time.Second, Err: errors.New("busy")}, now)
				continue
			}
			q.finish(one, nil, now)
		}
		return numbers
	}
	set := func(numbers []int64) map[int64]bool {
		all := map[int64]bool{}
		for _, n := range numbers {
			all[n] = true
		}
		return all
	}
	if diff := cmp.Diff(map[int64]bool{0: true, 9: true}, set(taken())); diff != "" {
		t.Errorf("a provider that asks for patience gets it, and others do not wait (-want +got):\n%s", diff)
	}
	if _, wait := q.next(now); wait <= 25*time.Second || wait > 30*time.Second {
		t.Errorf("the next look is in %s", wait)
	}
	now = now.Add(40 * time.Second)
	if diff := cmp.Diff([]int64{0, 1}, taken()); diff != "" {
		t.Errorf("two at once is the rate, in order (-want +got):\n%s", diff)
	}
	if _, wait := q.next(now); wait <= 0 || wait > time.Second {
		t.Errorf("the next message may go in %s", wait)
	}
	now = now.Add(time.Second)
	if diff := cmp.Diff([]int64{2}, taken()); diff != "" {
		t.Errorf("the last one (-want +got):\n%s", diff)
	}
}
