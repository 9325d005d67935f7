// Package finding is the word for one thing that a judge has to say of an object: which rule it breaks,
// how bad that is, where it stands, and what to do about it. The gate of a delivery, the command line,
// conditions, events and the audit log all tell the same findings in the same words.
//
// In: what judges found. Out: sorted findings, as text and as JSON, and the error that refuses a set. It
// never holds a value of an object: what a Secret has in it must not get into a message.
package finding
