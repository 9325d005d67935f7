// Package observe knows, of every object that a unit owns or looks at, whether it exists, is
// healthy and still has the fields that we gave it, and wakes the unit when that changes.
//
// In: claims (which unit needs which objects), the server's answers to our own writes, and one
// shared watch for each kind in use. Out: the State of an object, from memory, and events.
//
// Nothing here polls: at rest there are only open watches. The objects themselves are dropped as
// soon as they have been looked at; what stays is a compact record of each. The package never
// writes to the cluster and never decides what follows from what it sees.
package observe
