// Package stream keeps a list and watch of one resource going through every fault, and hands over
// what it brings: each object once, as soon as it is decoded, so that nobody has to hold more of it
// than he needs.
//
// In: what to watch. Out: the sink's own small values, in the order of the server's history, and
// whether the connection stands. Where the server forbids to watch all namespaces, it watches those that
// it is given, and brings them as one. It never gives up, never stores objects, and never logs content.
package stream
