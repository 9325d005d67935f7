// Package pipeline carries a unit through the line: render, check, apply, prune, observe, settle.
//
// In: a Job, which says what a unit wants, from which tree, and where. Out: an Outcome, which says
// what was done and what the unit waits for, if anything. A unit that waits is parked: Advance
// returns, and whoever owns the queue calls it again when an event, or the deadline in the Outcome,
// says so. The package knows no controller, no custom resource and no queue.
package pipeline
