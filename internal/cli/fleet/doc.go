// Package fleet is what a client sees of a cluster: its units and its sources, as the command line
// lists, follows and asks things of them.
//
// In: an API server and the kinds and names that a person asked for. Out: resources with the facts
// that people read (ready, revision, suspended), one at a time or as they change. It writes two
// things only, both of which any client may write: the request to reconcile and spec.suspend. It
// never polls: whoever waits, waits on a watch.
package fleet
