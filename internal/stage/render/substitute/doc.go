// Package substitute replaces variable expressions in the text of objects, in the dialect of Flux
// (flux-contract 2.7).
//
// In: text and values. Out: text, or an error that names the variable. It never reads values from
// anywhere, and never puts a value into an error.
package substitute
