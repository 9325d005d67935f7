// Package source is what all controllers of sources have in common: they find out what a remote holds,
// keep it as an artifact in the store, and say so in the object's status as Flux does.
//
// A controller of a source is made of three parts:
//
//   - A stage, internal/stage/source/<kind>, does the remote work. It takes plain structs and knows no kind.
//   - A Kind tells this package what is particular: where an object keeps the fields that all sources
//     have (Parts), what one run comes to (Run), which options of the spec the artifact was made with
//     (Observe), and how things are said (Words). It is all that the package internal/controller/<kind> has
//     to hold, beside the translation of its spec and its Secrets.
//   - A Controller of this package runs the Kind. Register adds it to a manager; what else wakes an object
//     is added there too.
//
// A Run begins with an Outcome that holds the artifact which is still served, and returns it with what it
// learned: the revision of the remote, a new artifact, or an error and the condition that shows it. It
// stores what it fetched with Shelf.Put. Everything else follows from the Outcome: the conditions, one
// status write if something changed, the entries of the record, an event, and when to look again. An
// unchanged remote costs what Run costs, and no request to the cluster.
//
// In: objects, and what a Run came to. Out: statuses, artifacts, events, entries of the record. The package
// never talks to a remote, and it never renders or applies what it stores. A remote that fails never costs
// the artifact: it stays in the status and is served until a newer one replaces it.
package source
