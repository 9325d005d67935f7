// Package rule holds Kyverno's kyverno.io kinds as this program reads them: ClusterPolicy, Policy and
// PolicyException, and the rules for pod controllers that a rule for pods stands for.
//
// In: the JSON of an object. Out: plain structs. Kyverno's own types of these kinds would bring two thousand
// packages along; the fields that are not acted on are kept so that they can be told of.
package rule
