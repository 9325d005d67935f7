// Package kyverno evaluates Kyverno's kyverno.io policies: ClusterPolicy, Policy and PolicyException.
//
// In: policies, and requests. Out: what each rule comes to, and the object as the rules that change it leave
// it. Patterns, anchors, JMESPath functions and patches are Kyverno's own packages; what happens around them
// is written here, so that it is bounded and reads a cluster only through the Reader that it is given. Rules
// that generate objects, verify images, or change objects other than the one that is asked about are not
// acted on: Policy.NotEvaluated names them. It never uses the network.
package kyverno
