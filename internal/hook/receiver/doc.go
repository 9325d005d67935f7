// Package receiver answers webhooks: it makes sure that a call comes from where the Receiver says, and
// asks the resources that the Receiver names to be reconciled.
//
// In: HTTP calls from anywhere, Receivers and their Secrets. Out: an annotation on resources of Flux's
// kinds, and a status code. It never parses what is not authenticated yet where the sender can
// authenticate it, never acts on anything but the resources that the Receiver lists, and never says in
// its answer why a call was refused, but for what the Receiver's own author wrote to be said.
package receiver
