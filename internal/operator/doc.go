// Package operator builds the parts of the daemon, runs them as one group, and stops them together.
//
// In: a cluster and settings. Out: a running controller for the kinds that were chosen. It holds no
// logic of its own.
package operator
