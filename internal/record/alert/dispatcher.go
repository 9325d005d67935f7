package alert

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"holdfast.dev/holdfast/internal/record/alert/send"
	"holdfast.dev/holdfast/internal/record/event"
)

// Book knows the alerts and providers of the cluster.
type Book interface {
	// Rules returns all alerts.
	Rules(ctx context.Context) ([]Rule, error)
	// Labels returns the labels of the object that an event is about.
	Labels(ctx context.Context, said event.Event) (map[string]string, error)
	// Open resolves a provider, with its Secrets.
	Open(ctx context.Context, namespace, provider string) (send.Target, error)
}

// Sender sends a message. send.Client is one.
type Sender interface {
	Send(ctx context.Context, target send.Target, message send.Message) (send.Answer, error)
}

// Notice is what the people of an Alert or a Provider have to know.
type Notice struct {
	Kind, Namespace, Name string
	Reason, Message       string
	Good                  bool
}

// Limits bound what is kept and how often something is sent. A zero field has its default.
type Limits struct {
	Waiting    int           // messages for each provider; default 1000
	Attempts   int           // for each message; default 30
	Age        time.Duration // of a message; default 24 hours
	Backoff    time.Duration // after a first failure; default 2 s, then doubled
	MaxBackoff time.Duration // default 10 minutes
	Rate       float64       // messages a second for each provider; default 1
	Burst      float64       // messages at once; default 10
	Parallel   int           // providers at once; default 8
	Reminder   time.Duration // until a failure that goes on is told again; default 24 hours
	Repeat     time.Duration // within which the same news is told once; default 5 minutes
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

func (l Limits) complete() Limits {
	return Limits{
		Waiting: or(l.Waiting, 1000), Attempts: or(l.Attempts, 30), Age: or(l.Age, 24*time.Hour),
		Backoff: or(l.Backoff, 2*time.Second), MaxBackoff: or(l.MaxBackoff, 10*time.Minute),
		Rate: or(l.Rate, 1), Burst: or(l.Burst, 10), Parallel: or(l.Parallel, 8),
		Reminder: or(l.Reminder, 24*time.Hour), Repeat: or(l.Repeat, 5*time.Minute),
	}
}

// Options are the parts that a Dispatcher works with. Book, Sender and Notify are required.
type Options struct {
	Book   Book
	Sender Sender
	Notify func(Notice) // must not block
	Ledger Ledger       // nil means Volatile
	// OwnNamespaceOnly keeps alerts from hearing of other namespaces (Flux's --no-cross-namespace-refs).
	OwnNamespaceOnly bool
	Limits           Limits
	Meter            Meter // nil counts nothing
	Log              logr.Logger
	Now              func() time.Time // nil means time.Now
}

// Meter counts what becomes of messages. It must not block.
type Meter interface {
	// Alert counts a delivery that came to an end, to a provider of a type.
	Alert(provider string, err error)
	// AlertQueue says how many messages wait, and for how long the oldest of them has.
	AlertQueue(waiting int, oldest time.Duration)
}

const (
	// maxIncoming bounds the events that nobody has looked at yet.
	maxIncoming = 4096
	// maxStates bounds what is known of objects; what was told longest ago is forgotten first.
	maxStates = 20_000
	// lookTimeout bounds how long the rules for one event may take to read.
	lookTimeout = 15 * time.Second
)

// Dispatcher takes events and has messages sent.
type Dispatcher struct {
	Options
	incoming chan event.Event
	queue    *queue
	wake     chan struct{}
	heard    *event.Window

	lock   sync.Mutex // of the fields below
	states map[string]state
	number int64
	lost   int
	ledger bool // it failed last time
}

// New makes a Dispatcher. It takes events at once, and works on them while Start runs.
func New(options Options) *Dispatcher {
	options.Limits = options.Limits.complete()
	options.Ledger = or[Ledger](options.Ledger, Volatile())
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Log.GetSink() == nil {
		options.Log = logr.Discard()
	}
	return &Dispatcher{
		Options: options, incoming: make(chan event.Event, maxIncoming), queue: newQueue(options.Limits),
		wake: make(chan struct{}, 1), heard: event.NewWindow(options.Limits.Repeat, options.Now), states: map[string]state{},
	}
}

// Take takes an event, and tells whether there was room for it. It does not block.
func (d *Dispatcher) Take(said event.Event) bool {
	if said.Severity == event.Trace {
		return true
	}
	select {
	case d.incoming <- said.Copy():
		return true
	default:
		d.lock.Lock()
		d.lost++
		d.lock.Unlock()
		return false
	}
}

// Start works until ctx ends. What waits then is in the ledger. It implements manager.Runnable.
func (d *Dispatcher) Start(ctx context.Context) error {
	d.recall(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var parts sync.WaitGroup
	parts.Go(func() { d.deliver(ctx) })
	for {
		select {
		case said := <-d.incoming:
			d.admit(ctx, said)
		case <-ctx.Done():
			d.drain(context.WithoutCancel(ctx))
			parts.Wait()
			return nil
		}
	}
}

// drain looks at what was taken before the end, so that it is in the ledger.
func (d *Dispatcher) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		select {
		case said := <-d.incoming:
			d.admit(ctx, said)
		default:
			return
		}
	}
}

// recall puts what the last process left into the queue.
func (d *Dispatcher) recall(ctx context.Context) {
	waiting, known, err := recall(ctx, d.Options.Ledger)
	if err != nil {
		d.Log.Error(err, "alerts start without what was left")
	}
	d.lock.Lock()
	maps.Copy(d.states, known)
	for _, one := range waiting {
		d.number = max(d.number, one.Number)
	}
	d.lock.Unlock()
	for _, one := range waiting {
		d.queue.add(one, d.Now())
	}
	d.nudge()
}

// save writes to the ledger. Without it the work goes on in memory, and people are told once.
func (d *Dispatcher) save(ctx context.Context, changes map[string][]byte) {
	err := d.Options.Ledger.Save(ctx, changes)
	d.lock.Lock()
	told := d.ledger
	d.ledger = err != nil
	d.lock.Unlock()
	if err != nil && !told {
		d.Log.Error(err, "alerts that wait would not survive a restart now")
	}
}

func (d *Dispatcher) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Waiting returns how many messages wait, and how many events were lost for want of room.
func (d *Dispatcher) Waiting() (messages, lost int) {
	d.lock.Lock()
	defer d.lock.Unlock()
	return d.queue.count(), d.lost
}
