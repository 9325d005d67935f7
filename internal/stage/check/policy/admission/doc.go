// Package admission evaluates Kubernetes' own policies, ValidatingAdmissionPolicy and MutatingAdmissionPolicy
// with their bindings and parameters, through the packages of the API server, so that the verdict and its
// words are the server's.
//
// In: policies, bindings, the objects that serve as parameters, a request. Out: results, and the object as
// changed. Expressions that ask the authorizer are not evaluated. It reaches no cluster.
package admission
