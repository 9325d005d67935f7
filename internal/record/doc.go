// Package record is the word for what happened: an Entry, and the Recorder that takes one.
//
// In: what controllers and the pipeline did, saw and decided. Out: nothing; the packages below keep
// it (audit), count it (metric) and tell people of it (event, alert). An entry holds references,
// field paths and digests. It never holds a value of an object, so that no secret gets into any
// record.
package record
