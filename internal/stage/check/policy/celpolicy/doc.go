// Package celpolicy evaluates Kyverno's policies that are written in CEL: ValidatingPolicy, MutatingPolicy,
// and their namespaced forms, of policies.kyverno.io.
//
// In: policies, exceptions, a request. Out: results, and the object as changed. The kinds, the function
// libraries and what policies for pods say of pod controllers are Kyverno's own; the evaluation is that of
// Kubernetes' admission policies, with its budgets. Functions that read a cluster read it through the Reader
// that is given; those that use the network, or make something up at random, are refused. Policies of other
// kinds of this group, and those for JSON that is no object, are not evaluated.
package celpolicy
