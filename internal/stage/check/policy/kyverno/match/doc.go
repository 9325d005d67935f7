// Package match decides which requests a Kyverno rule or exception is about: its match and exclude blocks.
//
// In: the blocks and a request. Out: yes or no, or an error where it depends on the labels of a namespace
// that could not be found out.
package match
