// Package e2e drives the program as its users do: the built binary, a terminal's worth of output, Git
// itself, and a client that knows nothing of Holdfast.
package e2e
