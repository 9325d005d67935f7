// Package install puts the controller into a cluster and takes it out again, with the rights of the
// person who asks.
//
// In: the manifests of config/install and config/crd. Out: a controller that is ready, or one that is
// gone. What the controller has delivered is never touched, and its kinds only when that is asked for.
package install
