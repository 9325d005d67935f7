// Package chart turns a Helm chart and values into the objects, definitions and hooks of a release, with
// Helm's own engine.
//
// In: a Chart (Open reads one from a tree, Unpack from a .tgz; both are kept by their digest), a release's
// name, namespace and revision, values (package values puts them together), capabilities, post-renderers,
// and metadata for all objects. Out: an Output with the CRDs of crds/, the objects in writing order, the
// hooks, the manifest and the release record as Helm stores them, and a fingerprint.
//
// How a release is carried out with it:
//
//	loaded, err := renderer.Open(tree, "")                  // the artifact of a HelmChart or an OCIRepository
//	merged, err := values.Merge(references, spec.Values)    // what valuesFrom names was read before
//	out, err := renderer.Render(ctx, chart.Input{Owner: owner, Chart: loaded, Values: merged.Values, …})
//	record := out.Record(chart.Pending{Upgrade: true, …})   // for internal/helm/storage, before the first write
//	… out.CRDs, then out.HooksAt(chart.PreUpgrade), out.Objects, out.HooksAt(chart.PostUpgrade) …
//
// A rollback, and the correction of drift after a restart, do not render: Restore makes the same Output of
// a record that Helm's storage has. Templates may be random, and what was released counts.
//
// The same input is rendered once: each owner's last output is kept, and its Cached is then true. A chart is
// somebody else's program, so a render is bounded in time, text and memory (package budget), a panic is an
// error, templates see no environment, no DNS, no files but the chart's, and schemas fetch nothing. Values
// from Secrets are taken out of errors and notes.
//
// It never writes to a cluster, and reads one only through the Lookup that an input may bring along.
package chart
