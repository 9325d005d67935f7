// Package policy judges what a unit wants by policies: those that the commit itself brings and those that
// live in the cluster. It is the judge of that kind at the gate, for a delivery and on a command line alike.
//
// In: a set, and what is known of the cluster. Out: findings: an error where a policy enforces, a warning
// where it audits or warns, a remark where an exception waives it. Policies are tenants' input: they have no
// network, they read a cluster only as the unit that delivers may, and what they may use up is bounded; a
// policy that cannot be evaluated fails. It never writes.
package policy
