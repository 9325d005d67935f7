// Package signature tells who signed an artifact of a registry: by cosign with a key, by cosign without one
// (a certificate of Fulcio and an entry of a transparency log), or by notation.
//
// In: an artifact that package oci found, and what is trusted: keys, or a trust root with identities, or a trust
// policy with certificates. Out: the name of the signer, or why there is none. Everything that is trusted is
// given; nothing of it is fetched. The number of signatures that are looked at is bounded, and so is their size.
package signature
