// Package cli is Holdfast's command line: one file for each command, a flags struct and a run
// function in each.
//
// In: arguments and streams. Out: an exit code, and text or JSON for people and scripts. It presents
// what other packages find and do; it decides nothing about delivery itself.
package cli
