package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast.dev/holdfast/internal/record/event"
)

// Ledger keeps what must survive a restart: values by key.
type Ledger interface {
	// Load returns everything that is kept.
	Load(ctx context.Context) (map[string][]byte, error)
	// Save keeps values and forgets those that are nil, all or none.
	Save(ctx context.Context, changes map[string][]byte) error
}

// Volatile is a Ledger that keeps nothing: what waits is lost with the process.
func Volatile() Ledger { return volatile{} }

type volatile struct{}

func (volatile) Load(context.Context) (map[string][]byte, error) { return map[string][]byte{}, nil }
func (volatile) Save(context.Context, map[string][]byte) error   { return nil }

// delivery is one message on its way.
type delivery struct {
	Number    int64       `json:"number"` // later ones are higher
	Namespace string      `json:"namespace"`
	Alert     string      `json:"alert"`
	Provider  string      `json:"provider"`
	Event     event.Event `json:"event"`
	Status    string      `json:"status,omitempty"`
	Recovery  bool        `json:"recovery,omitempty"`

	Since    time.Time `json:"since"`
	Attempts int       `json:"attempts,omitempty"`
	After    time.Time `json:"after,omitzero"`
}

const (
	queuePrefix = "queue/"
	statePrefix = "state/"
)

func (d *delivery) key() string { return fmt.Sprintf("%s%020d", queuePrefix, d.Number) }

// lane is the provider that a delivery goes to.
func (d *delivery) lane() string { return d.Namespace + "/" + d.Provider }

// story is what must be told in order: the object, to the readers of the alert.
func (d *delivery) story() string { return storyOf(d.Namespace, d.Alert, d.Event) }

func storyOf(namespace, alert string, said event.Event) string {
	return namespace + "/" + alert + " " + said.Object()
}

// encode returns a value for the ledger. Our own types always encode.
func encode(value any) []byte {
	encoded, _ := json.Marshal(value)
	return encoded
}

// recall reads a ledger. What cannot be read is left out: it was written by another version.
func recall(ctx context.Context, ledger Ledger) (waiting []*delivery, known map[string]state, err error) {
	kept, err := ledger.Load(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the alerts that wait: %w", err)
	}
	known = map[string]state{}
	for key, value := range kept {
		if story, found := strings.CutPrefix(key, statePrefix); found {
			var s state
			if json.Unmarshal(value, &s) == nil {
				known[story] = s
			}
			continue
		}
		one := &delivery{}
		if strings.HasPrefix(key, queuePrefix) && json.Unmarshal(value, one) == nil && one.key() == key {
			waiting = append(waiting, one)
		}
	}
	slices.SortFunc(waiting, func(a, b *delivery) int { return int(a.Number - b.Number) })
	return waiting, known, nil
}
