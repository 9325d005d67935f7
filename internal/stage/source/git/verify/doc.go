// Package verify tells who signed a commit or a tag.
//
// In: an object's bytes as Git stores them, the hash that they must have, and the public keys that are
// trusted. Out: the signer, or why there is none. What is verified is exactly what is delivered: the
// payload is cut out of the stored bytes and never encoded anew, an object that two readers could
// understand differently is refused, and so is a signature of another purpose, by an expired or a
// revoked key, or with a second one beside it. The package reads nothing itself and trusts no key that
// comes with a signature.
package verify
