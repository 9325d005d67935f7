// Package kube is the only door to a cluster: it connects, impersonates, maps kinds to resources,
// and sends single requests.
//
// In: REST configurations, kubeconfigs and object references. Out: objects as the server returns
// them. It never decides what to write, never caches objects, and never retries a request: that is
// for those who know what a failure means.
package kube
