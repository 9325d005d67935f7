// Package registrytest is a registry on loopback for tests: with a login, with TLS, and with a book of the
// requests that it got.
package registrytest
