// Package model is the root of the words that every part of Holdfast shares. It holds no code
// itself; each word has a package of its own below it: object, tree, revision, fault, redact.
// They depend on nothing of Holdfast, and everything else may depend on them.
package model
