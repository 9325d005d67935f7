// Package ruling holds the words that every policy engine shares: the Request that is judged, and the
// Result that a rule of a policy comes to.
//
// In and out: plain values. It evaluates nothing and reaches no cluster.
package ruling
