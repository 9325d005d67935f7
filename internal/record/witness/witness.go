package witness

import (
	"strconv"
	"sync"

	"holdfast.dev/holdfast/internal/record"
)

// Annotated is the act of setting an annotation to a value: a request with its token.
func Annotated(name, value string) string { return name + "=" + value }

// Configured is the act of making a spec that of a generation.
func Configured(generation int64) string { return "generation=" + strconv.FormatInt(generation, 10) }

// defaultLimit is how many acts are remembered.
const defaultLimit = 10_000

type act struct {
	about record.Subject
	what  string
}

// Book is what was witnessed. It is safe for concurrent use; a nil Book has seen nothing.
type Book struct {
	limit int
	lock  sync.Mutex
	users map[act]string
	order []act // the oldest first
}

// New makes a Book that remembers so many acts; 0 means 10,000.
func New(limit int) *Book {
	if limit == 0 {
		limit = defaultLimit
	}
	return &Book{limit: limit, users: map[act]string{}}
}

// Saw keeps that a user did something to a resource. It is for who sees requests as the API server
// passes them on: an admission webhook. The first user of an act stays: who repeats a token has not
// asked.
func (b *Book) Saw(about record.Subject, what, user string) {
	if user == "" {
		return
	}
	b.lock.Lock()
	defer b.lock.Unlock()
	one := act{about, what}
	if _, known := b.users[one]; known {
		return
	}
	if len(b.order) == b.limit {
		delete(b.users, b.order[0])
		b.order = b.order[1:]
	}
	b.users[one] = user
	b.order = append(b.order, one)
}

// Who returns the user who was seen to do something, "" where nobody was.
func (b *Book) Who(about record.Subject, what string) string {
	if b == nil {
		return ""
	}
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.users[act{about, what}]
}

// Actor names who did something: who was seen to, or who claims it.
func (b *Book) Actor(about record.Subject, what, claims string) record.Actor {
	if user := b.Who(about, what); user != "" {
		return record.Actor{Type: record.Person, Name: user}
	}
	return record.Actor{Type: record.Person, Name: claims, Claimed: true}
}
