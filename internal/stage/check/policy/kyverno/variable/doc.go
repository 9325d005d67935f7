// Package variable is what a Kyverno rule may look at: the request and the entries of its context, asked
// for with JMESPath, and put in the place of {{ variables }} and $(references).
//
// In: data, entries that are loaded when something asks for them, documents with variables. Out: values,
// documents without variables. Rules are hostile input: the size of what they ask for, the length of what
// they make, and the time they take are bounded. It never reaches a cluster or the network.
package variable
