// Package condition decides Kyverno's conditions: a key, an operator and a value, joined by any and all.
//
// In: conditions as the policy has them, and the scope that their variables are looked up in. Out: whether
// they hold, and the messages of those that decided. The peculiarities of each operator are Kyverno's.
package condition
