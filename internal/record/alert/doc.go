// Package alert decides who is told of an event, and sees to it that the message arrives.
//
// In: events, and the rules and providers of the cluster (Book). Out: messages, through a sender, and
// notices about alerts that cannot be served. What an object's failure is was told once: it is told
// again when its reason changes, and its end is told once, too. Messages wait in a Ledger that
// survives a restart, are tried again with growing pauses, and are given up with a notice. Taking an
// event never blocks. The package never stores a Secret: a provider is resolved at the moment of
// sending.
package alert
