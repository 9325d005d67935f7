// Package logbook reads audit logs for the commands: a store at hand, or the one of a controller in a
// cluster.
//
// In: a store, or a kubeconfig. Out: records, and exports that verify. What comes out of a cluster is
// asked for with a token of its own, for ten minutes and for nothing else; the person's credentials
// are shown to nobody but the API server.
package logbook
