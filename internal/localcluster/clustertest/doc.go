// Package clustertest gives tests a real Kubernetes API server: one ephemeral cluster for each test
// binary, shared by its tests, in a child process.
//
// In: a test. Out: a client configuration, and namespaces of the test's own. It is for tests only.
//
// The cluster is a program of its own, built once and kept in the user's cache folder. Measured on two
// cores with a warm build cache: linking Kubernetes into a test binary costs 19 CPU-seconds and 2.7 GB
// of memory for each package that does it. Finding the program up to date costs 2 CPU-seconds, and a
// cluster is ready 3 to 4 seconds after its start, in a child as in-process. So the child is quicker,
// and several packages can be tested at the same time.
//
// The child ends when the test process does, even when that is killed: it watches its standard input.
package clustertest
