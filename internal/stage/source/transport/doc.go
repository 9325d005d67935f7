// Package transport carries the requests of sources over HTTP: with the certificates and the proxy that a
// spec names, over connections that are kept between two looks at a remote.
//
// In: Options. Out: an http.RoundTripper. A client's certificate is shown to the remote's own host only, and
// no redirect leads from https to http. The package never adds credentials to a request, and it never reads
// a Secret.
package transport
