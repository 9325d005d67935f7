package alert

import (
	"context"
	"fmt"
	"sync"

	"holdfast.dev/holdfast/internal/record/alert/send"
	"holdfast.dev/holdfast/internal/record/event"
)

// admit finds the alerts that an event is for, and puts the messages into the queue.
func (d *Dispatcher) admit(ctx context.Context, said event.Event) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	rules, err := d.Book.Rules(ctx)
	if err != nil {
		d.Log.Error(err, "event without alerts", "object", said.Object(), "reason", said.Reason)
		return
	}
	repeated := sync.OnceValue(func() bool { return !d.heard.First(said.Key()) })
	of := sync.OnceValues(func() (map[string]string, error) { return d.Book.Labels(ctx, said) })
	changes := map[string][]byte{}
	for _, rule := range rules {
		if one := d.consider(ctx, rule, said, of, changes); one != nil {
			if one.verdict == plain && repeated() {
				continue
			}
			d.enqueue(one.delivery, changes)
		}
	}
	if len(changes) > 0 {
		d.save(ctx, changes)
		d.nudge()
	}
}

// considered is a message that a rule asks for.
type considered struct {
	*delivery
	verdict verdict
}

// consider returns the message that a rule asks for, or nil. A change of what its readers know goes
// to changes.
func (d *Dispatcher) consider(ctx context.Context, rule Rule, said event.Event, of labels, changes map[string][]byte) *considered {
	if rule.Suspended || rule.Provider.Suspended {
		return nil
	}
	about, err := rule.concerns(said, of)
	if err != nil {
		d.notify(rule, "SourceFetchFailed", err.Error())
	}
	if !about || !d.reachable(rule, said) {
		return nil
	}
	admitted, err := rule.admits(said)
	if err != nil {
		d.notify(rule, "InvalidConfig", err.Error())
	}
	story := storyOf(rule.Namespace, rule.Name, said)
	before := d.known(story)
	after, what := before.next(said, d.Now(), d.Limits.Reminder)
	if send.SetsStatus(rule.Provider.Type) {
		after, what = before.nextStatus(said, d.Now())
	}
	wanted := admitted && rule.Provider.takes(said)
	if what == silent || what != recovered && !wanted {
		return nil
	}
	one := d.message(rule, said, before, what)
	if one.Status, err = d.statusName(ctx, rule, one.Event); err != nil {
		d.notify(rule, "NotificationDispatchFailed", err.Error())
		return nil
	}
	if after != before {
		d.learn(story, after, changes)
	}
	return &considered{delivery: one, verdict: what}
}

// reachable tells whether a rule's provider may and can be told of an event, and the people of the
// alert where it cannot.
func (d *Dispatcher) reachable(rule Rule, said event.Event) bool {
	switch {
	case d.OwnNamespaceOnly && said.InvolvedObject.Namespace != rule.Namespace:
		d.notify(rule, "AccessDenied", fmt.Sprintf("alert %s/%s is not told of %s: references to other namespaces are blocked", rule.Namespace, rule.Name, said.Object()))
	case rule.Provider.Missing:
		d.notify(rule, "NotificationDispatchFailed", fmt.Sprintf("there is no Provider %s in namespace %s", rule.Provider.Name, rule.Namespace))
	case !send.Serves(rule.Provider.Type):
		d.Notify(Notice{
			Kind: "Provider", Namespace: rule.Namespace, Name: rule.Provider.Name,
			Reason: "UnsupportedType", Message: send.Unserved(rule.Provider.Type).Error(),
		})
	default:
		return true
	}
	return false
}

// message makes what the readers of a rule are to be told.
func (d *Dispatcher) message(rule Rule, said event.Event, before state, what verdict) *delivery {
	one := &delivery{
		Namespace: rule.Namespace, Alert: rule.Name, Provider: rule.Provider.Name,
		Event: rule.enriched(said), Recovery: what == recovered, Since: d.Now(),
	}
	if one.Recovery {
		one.Event.Message = fmt.Sprintf("Recovered from %s: %s", before.Reason, said.Message)
	}
	return one
}

func (d *Dispatcher) statusName(ctx context.Context, rule Rule, said event.Event) (string, error) {
	if !send.SetsStatus(rule.Provider.Type) || rule.Provider.StatusName == nil {
		return "", nil
	}
	name, err := rule.Provider.StatusName(ctx, said)
	if err != nil {
		return "", fmt.Errorf("naming the commit status of %s: %w", said.Object(), err)
	}
	return name, nil
}

func (d *Dispatcher) known(story string) state {
	d.lock.Lock()
	defer d.lock.Unlock()
	return d.states[story]
}

// learn changes what the readers know, and forgets the oldest where it is too much.
func (d *Dispatcher) learn(story string, latest state, changes map[string][]byte) {
	d.lock.Lock()
	defer d.lock.Unlock()
	d.states[story] = latest
	changes[statePrefix+story] = encode(latest)
	if len(d.states) <= maxStates {
		return
	}
	oldest := story
	for other, s := range d.states {
		if s.Told.Before(d.states[oldest].Told) {
			oldest = other
		}
	}
	delete(d.states, oldest)
	changes[statePrefix+oldest] = nil
}

// enqueue gives a delivery its number and its place.
func (d *Dispatcher) enqueue(one *delivery, changes map[string][]byte) {
	d.lock.Lock()
	d.number++
	one.Number = d.number
	d.lock.Unlock()
	changes[one.key()] = encode(one)
	dropped := d.queue.add(one, d.Now())
	if dropped == nil {
		return
	}
	changes[dropped.key()] = nil
	d.Notify(Notice{
		Kind: "Provider", Namespace: dropped.Namespace, Name: dropped.Provider, Reason: "MessageDropped",
		Message: fmt.Sprintf("a message about %s was dropped: %d others wait", dropped.Event.Object(), d.Limits.Waiting),
	})
}

func (d *Dispatcher) notify(rule Rule, reason, message string) {
	d.Notify(Notice{Kind: "Alert", Namespace: rule.Namespace, Name: rule.Name, Reason: reason, Message: message})
}
