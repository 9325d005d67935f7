// Package check is the command that finds what is wrong with a repository before anybody merges it: it
// builds what each environment would deliver, and has the judges of a delivery look at it.
//
// In: a folder and environments in it, and perhaps a cluster to ask. Out: findings, in a form for people
// or for programs, and an exit code. It writes nothing.
package check
