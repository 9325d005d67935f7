// Package localcluster runs a real Kubernetes control plane inside this process: etcd, the API
// server, the controller manager and the scheduler of the Kubernetes release that go.mod names, with
// simulated nodes (KWOK) on which workloads become ready without a container runtime.
//
// In: a data folder, or none for a cluster that leaves nothing behind. Out: a ready cluster on a
// loopback address, reached with generated credentials, and a kubeconfig for it.
//
// A cluster listens on 127.0.0.1 only, its etcd on a Unix socket that only this user can open. The
// data folder belongs to one process at a time, which a lock on a file in it keeps.
//
// It runs no containers, so a Pod that is Ready says that the API accepts the workload, not that its
// image works. One process runs one cluster at a time, because the Kubernetes components keep their
// settings in package variables. It never talks to another machine and never starts a process.
package localcluster
