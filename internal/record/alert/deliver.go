package alert

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"holdfast.dev/holdfast/internal/record/alert/send"
)

// deliver sends what is due until ctx ends, each provider by itself.
func (d *Dispatcher) deliver(ctx context.Context) {
	var attempts sync.WaitGroup
	defer attempts.Wait()
	slots := make(chan struct{}, d.Limits.Parallel)
	for ctx.Err() == nil {
		one, wait := d.queue.next(d.Now())
		if one == nil {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-d.wake:
			case <-timer.C:
			}
			timer.Stop()
			continue
		}
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		attempts.Go(func() {
			defer func() { <-slots; d.nudge() }()
			d.attempt(ctx, one)
		})
	}
}

// grace is how long an attempt may still take when the process ends: a message that has arrived and
// is not written down as such would arrive twice.
const grace = 3 * time.Second

// attempt tries to send one message, and writes down what became of it.
func (d *Dispatcher) attempt(ending context.Context, one *delivery) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ending))
	defer cancel()
	defer context.AfterFunc(ending, func() { time.AfterFunc(grace, cancel) })()
	target, err := d.Book.Open(ctx, one.Namespace, one.Provider)
	if err == nil {
		_, err = d.Sender.Send(ctx, target, send.Message{Event: one.Event, Status: one.Status, Recovery: one.Recovery})
	}
	if err != nil && ctx.Err() != nil {
		return // the message stays in the ledger: it is tried again after the restart
	}
	end := d.queue.finish(one, err, d.Now())
	changes := map[string][]byte{one.key(): encode(one)}
	if end.gone {
		changes[one.key()] = nil
	}
	if end.dead {
		d.forget(one.story(), changes)
	}
	d.save(context.WithoutCancel(ctx), changes)
	d.tell(one, end, err)
	d.measure(target.Type, end, err)
}

// measure counts an attempt.
func (d *Dispatcher) measure(provider string, end ending, err error) {
	if d.Meter == nil {
		return
	}
	if end.gone {
		d.Meter.Alert(cmp.Or(provider, "unknown"), err)
	}
	d.Meter.AlertQueue(d.queue.count(), d.queue.oldest(d.Now()))
}

// forget lets an object's next failure be told as a first one: the readers do not know of this one.
func (d *Dispatcher) forget(story string, changes map[string][]byte) {
	d.lock.Lock()
	defer d.lock.Unlock()
	delete(d.states, story)
	changes[statePrefix+story] = nil
}

// tell tells people how sending goes, when that changes.
func (d *Dispatcher) tell(one *delivery, end ending, err error) {
	log := d.Log.WithValues("alert", one.Namespace+"/"+one.Alert, "provider", one.Provider, "object", one.Event.Object(), "attempts", one.Attempts)
	provider := Notice{Kind: "Provider", Namespace: one.Namespace, Name: one.Provider}
	switch {
	case end.dead:
		log.Info("alert given up", "error", err.Error())
		d.Notify(Notice{
			Kind: "Alert", Namespace: one.Namespace, Name: one.Alert, Reason: "NotificationDispatchFailed",
			Message: fmt.Sprintf("the message about %s (%s) was given up after %d attempts: %v", one.Event.Object(), one.Event.Reason, one.Attempts, err),
		})
	case end.first:
		log.Info("alert not sent yet", "error", err.Error())
		provider.Reason = "DeliveryFailing"
		provider.Message = fmt.Sprintf("%d messages wait and are tried again: %v", end.waiting, err)
		d.Notify(provider)
	case end.healed:
		provider.Reason, provider.Good = "DeliveryRecovered", true
		provider.Message = fmt.Sprintf("messages arrive again; %d wait", end.waiting)
		d.Notify(provider)
	}
	if err == nil {
		log.V(1).Info("alert sent")
	}
}
