package logbook

import (
	"context"
	"io"

	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/database"
)

// Logbook is an audit log that is read.
type Logbook interface {
	// List returns the records that a filter chooses, in order.
	List(ctx context.Context, filter audit.Filter) ([]audit.Record, error)
	// Export writes the whole log in a format.
	Export(ctx context.Context, format string, out io.Writer) error
	// Verify judges the whole log.
	Verify(ctx context.Context, trust audit.Trust) (audit.Report, error)
	// Close lets go of it.
	Close() error
}

// The formats of an export.
const (
	Lines  = "jsonl"
	Events = "cloudevents"
)

// Store is a log whose store is at hand.
type Store struct{ DB *database.DB }

// List implements Logbook.
func (s Store) List(ctx context.Context, filter audit.Filter) ([]audit.Record, error) {
	return audit.List(ctx, s.DB, filter)
}

// Export implements Logbook.
func (s Store) Export(ctx context.Context, format string, out io.Writer) error {
	if format == Events {
		return audit.ExportEvents(ctx, s.DB, out)
	}
	return audit.Export(ctx, s.DB, out)
}

// Verify implements Logbook.
func (s Store) Verify(ctx context.Context, trust audit.Trust) (audit.Report, error) {
	return audit.Verify(ctx, s.DB, trust)
}

// Close implements Logbook.
func (s Store) Close() error { return s.DB.Close() }
