// Package clustertest gives tests a real Kubernetes API server: one ephemeral cluster for each test
// binary, shared by its tests, in a child process.
//
// In: a test. Out: a client configuration, and namespaces of the test's own. It is for tests only.
//
// The cluster is a program of its own, built once and kept in the user's cache folder. Measured on two
// cores with a warm build cache: linking Kubernetes into a test binary costs 20 s and 1.5 GB of memory
// for each package that does it, and its packages' test variants are compiled again; finding the
// program up to date costs 1.5 s, and its start 3 s. So in-process is never faster.
//
// The child ends when the test process does, even when that is killed: it watches its standard input.
package clustertest
