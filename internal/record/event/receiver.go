package event

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// maxBody bounds a posted event, as Flux does.
	maxBody = 3 << 20
	// maxMetadata bounds the entries of an event's metadata.
	maxMetadata = 256
)

// Receiver is the endpoint that other controllers post their events to, with the manners of Flux's:
// 202 for what is taken, 429 for what was said before within the interval, 400 for what cannot be
// read. 503 asks to post again, when there is more to do than can be kept.
type Receiver struct {
	take func(Event) bool
	seen *Window
}

// NewReceiver makes a Receiver. take tells whether it could keep the event; it must not block.
// An interval of 0 means five minutes.
func NewReceiver(take func(Event) bool, interval time.Duration, now func() time.Time) *Receiver {
	if interval == 0 {
		interval = 5 * time.Minute
	}
	return &Receiver{take: take, seen: NewWindow(interval, now)}
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	said, err := Decode(body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	key := said.Key()
	switch {
	case !r.seen.First(key):
		w.WriteHeader(http.StatusTooManyRequests)
	case !r.take(said.WithoutToken()):
		r.seen.forget(key)
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

// Decode reads an event that somebody posted, and brings it to a size that can be kept.
func Decode(body []byte) (Event, error) {
	var said Event
	if err := json.Unmarshal(body, &said); err != nil {
		return Event{}, err
	}
	if len(said.Metadata) > maxMetadata {
		return Event{}, errors.New("reading an event: it has too much metadata")
	}
	said.Message = shortened(said.Message)
	return said, nil
}
