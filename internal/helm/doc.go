// Package helm is what a Helm release adds to the line: when its chart is rendered, and the book that Helm's
// own tools read.
//
// In: a chart, values and settings of one HelmRelease, and Helm's storage. Out: a pipeline.Rendering and a
// pipeline.Ledger, and what is to be done where somebody else has changed the storage. Objects are written,
// watched and undone by the line, as those of any unit are; the package writes nothing but records.
package helm
