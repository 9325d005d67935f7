// Package localrepo brings a Git repository on this machine to the controller: it serves the folder
// over HTTP on loopback, tells at once when its references move, and makes new ones.
//
// In: a folder. Out: a handler that speaks enough of Git's smart HTTP protocol for any client to
// fetch (gitprotocol-http, version 0, read only), and a signal for each commit. It never writes to a
// repository that it did not make itself, and it starts no program.
package localrepo
