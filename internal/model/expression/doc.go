// Package expression evaluates CEL expressions that users write, in the environment that Flux gives
// them, so that an expression means the same here. Expressions are hostile input: their size and
// the cost of an evaluation are bounded.
//
// In: the text of an expression and the objects it looks at. Out: true, false, or why neither.
package expression
