// Package fault names the kinds of error. The kind decides what follows (retry, wait, stop), and it
// is set where the cause is known, not where the error is handled.
package fault

import (
	"errors"
	"time"
)

// Kind says what has to happen before the work can succeed.
type Kind int

const (
	// Transient errors may pass by themselves: retry with backoff. It is the kind of any plain error.
	Transient Kind = iota
	// Stalled errors stay until a person changes something: do not retry on a clock.
	Stalled
	// Waiting is not a failure: it is not our turn yet, and an event will say when it is.
	Waiting
)

// Error is an error with a kind and, where it has one, the reason that a status condition shows.
type Error struct {
	Kind   Kind
	Reason string        // CamelCase condition reason, for example BuildFailed; may be empty
	After  time.Duration // earliest useful retry; 0 means the default of the one who retries
	Err    error
}

// Error implements error. The reason is not part of the text: conditions carry it apart.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap implements the errors.Unwrap contract.
func (e *Error) Unwrap() error { return e.Err }

// Because gives err a condition reason and leaves its kind. A nil err stays nil.
func Because(reason string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: KindOf(err), Reason: reason, After: AfterOf(err), Err: err}
}

// Stall marks err as one that only a person can resolve. A nil err stays nil.
func Stall(reason string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: Stalled, Reason: reason, Err: err}
}

// Wait marks err as a wait for somebody else's turn. A nil err stays nil.
func Wait(reason string, after time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: Waiting, Reason: reason, After: after, Err: err}
}

// KindOf returns the kind of the outermost fault in err's chain, or Transient.
func KindOf(err error) Kind {
	var fault *Error
	if errors.As(err, &fault) {
		return fault.Kind
	}
	return Transient
}

// ReasonOf returns the outermost reason in err's chain, or otherwise when there is none.
func ReasonOf(err error, otherwise string) string {
	for err != nil {
		var fault *Error
		if !errors.As(err, &fault) {
			break
		}
		if fault.Reason != "" {
			return fault.Reason
		}
		err = fault.Err
	}
	return otherwise
}

// AfterOf returns how long to wait at least before a retry, or 0 where err does not say.
func AfterOf(err error) time.Duration {
	var fault *Error
	if errors.As(err, &fault) {
		return fault.After
	}
	return 0
}
