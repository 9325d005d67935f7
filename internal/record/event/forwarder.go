package event

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/go-logr/logr"
)

const (
	forwardQueue    = 1000
	forwardAttempts = 5
	forwardTimeout  = 15 * time.Second
	forwardBackoff  = time.Second
)

// Forwarder posts events to another notification controller, as Flux's controllers do with the
// address in their --events-addr. It keeps the last thousand in memory while the other is away.
type Forwarder struct {
	address string
	client  *http.Client
	waiting chan Event
	log     logr.Logger
}

// NewForwarder makes a Forwarder to an http or https address.
func NewForwarder(address string, log logr.Logger) (*Forwarder, error) {
	target, err := url.Parse(address)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, errors.New("forwarding events: the address must be an http or https URL")
	}
	return &Forwarder{
		address: address, client: &http.Client{Timeout: forwardTimeout},
		waiting: make(chan Event, forwardQueue), log: log,
	}, nil
}

// Take puts an event into the queue. It is a Taker; what finds the queue full is lost.
func (f *Forwarder) Take(said Event) {
	select {
	case f.waiting <- said:
	default:
		f.log.Info("event not forwarded: too many wait", "object", said.Object(), "reason", said.Reason)
	}
}

// Start sends until ctx ends. It implements manager.Runnable.
func (f *Forwarder) Start(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case said := <-f.waiting:
			if err := f.insist(ctx, said); err != nil && ctx.Err() == nil {
				f.log.Info("event not forwarded", "object", said.Object(), "reason", said.Reason, "error", err.Error())
			}
		}
	}
}

// insist posts an event, several times where the other side is in trouble.
func (f *Forwarder) insist(ctx context.Context, said Event) error {
	body, err := json.Marshal(said)
	if err != nil {
		return err
	}
	wait := forwardBackoff
	for attempt := 1; ; attempt++ {
		again, err := f.post(ctx, body)
		if err == nil || !again || attempt == forwardAttempts {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
			wait *= 2
		}
	}
}

// post tells whether another attempt could help. 429 means that the other side knows the event.
func (f *Forwarder) post(ctx context.Context, body []byte) (again bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.address, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := f.client.Do(request)
	if err != nil {
		var failed *url.Error // its text has the address in it
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return true, fmt.Errorf("posting an event: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode < 300 || answer.StatusCode == http.StatusTooManyRequests {
		return false, nil
	}
	return answer.StatusCode >= 500, fmt.Errorf("posting an event: %s", answer.Status)
}
