// Package measure times reconcilers and shows the resources of the manager's cache as metrics with
// Flux's names.
//
// In: reconcilers, a metric.Set and a cache. Out: gotk_reconcile_duration_seconds, gotk_resource_info
// and gotk_reconcile_condition, the last two computed when somebody asks. It never sends a request to
// the cluster, and never puts a credential into a label.
package measure
