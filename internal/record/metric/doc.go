// Package metric counts what happened and how long it took, for Prometheus.
//
// In: entries (a Set is a record.Recorder) and, where no entry says it, calls of the Set's methods.
// Out: a registry to scrape. A Set belongs to one operator; a process may have several. It never
// keeps a series for each object of a cluster, never forgets to drop those of a unit that is gone, and
// never refuses an entry.
package metric
