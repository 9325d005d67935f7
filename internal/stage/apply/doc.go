// Package apply makes a cluster agree with a checked set of objects, and deletes what is no longer
// wanted.
//
// In: a check.Passed, what was applied before, and a view of the live objects. Out: what was done
// to each object, complete even when an error comes with it. It judges each stage as a whole by
// server-side dry-run before the first write of that stage, writes concurrently within a rank of
// kinds, and sends nothing at all for an object that is unchanged and has not drifted. It never
// waits for an object to become healthy: it returns, and names what it would wait for.
package apply
