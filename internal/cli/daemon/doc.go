// Package daemon is the controller command: flags, with Flux's names where the meaning is Flux's,
// turned into the operator's settings. Both programs offer it; it knows nothing of the embedded
// cluster, so the slim one does not carry that along.
package daemon
