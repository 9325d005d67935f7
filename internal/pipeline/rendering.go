package pipeline

import (
	"context"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/model/release"
)

// Rendering makes the objects that a unit wants, by whichever means.
type Rendering interface {
	// Fingerprint identifies the wish before its objects are made, or is "" where only the objects tell.
	// A wish that is told so is made once: as long as the fingerprint stays, the objects that were kept of
	// its release are what is wanted. That is for templates that may come out differently each time.
	Fingerprint() string
	// Render makes the objects. Its errors carry the reason that a condition shows.
	Render(ctx context.Context) (Rendered, error)
	// Secrets are the values that go into it and must not be seen.
	Secrets() []redact.Text
}

// Rendered is what a unit wants.
type Rendered struct {
	// Objects are labelled with their owner, and must not be modified.
	Objects []object.Object
	// Fingerprint identifies them.
	Fingerprint string
	// Revealed are values that came to light on the way and must not be seen.
	Revealed []redact.Text
	// Read returns a file that the objects were made of, by the name that they have in Object.Source.
	Read func(name string) ([]byte, error)
}

// Ledger is where others keep a book of what is done to a unit, and others than we may read it. What
// it was told is durable when it returns. It is told of the same act again after a crash, and of nothing
// but what changes the cluster.
type Ledger interface {
	// Open is told before the first write, and returns how it files the act.
	Open(ctx context.Context, act Act) (release.Filing, error)
	// Close is told how an act ended.
	Close(ctx context.Context, filing release.Filing, end End) error
}

// Act is what is about to be done.
type Act struct {
	// Release is what begins, or what is undone.
	Release release.Release
	// Like is a release with the same objects, whose number is 0 where the objects were just rendered.
	Like release.Release
	// Target is what is gone back to; its number is 0 where nothing is undone.
	Target release.Release
}

// End is how an act ended.
type End struct {
	Good  bool
	Cause string // what went wrong, free of secrets
	Runs  []release.Run
}

// Upkeep says what becomes of changes that others make to what was delivered.
type Upkeep int

// The kinds of upkeep.
const (
	// Correct sets back what others change, and brings back what they delete.
	Correct Upkeep = iota
	// Restore brings back what others delete, and nothing else.
	Restore
	// Leave leaves all as it is until the next release.
	Leave
)

// Wants returns what a unit wants, without a look at any cluster. Objects that it leaves alone are
// not among it.
func Wants(ctx context.Context, rendering Rendering) ([]object.Ref, error) {
	rendered, err := rendering.Render(ctx)
	if err != nil {
		return nil, err
	}
	refs := make([]object.Ref, 0, len(rendered.Objects))
	for _, one := range rendered.Objects {
		if !one.Rules.Skipped() {
			refs = append(refs, one.Ref)
		}
	}
	return refs, nil
}
