// Package sealed is the word for data that SOPS encrypted: how it is recognised, what it says about
// where it came from, and what comes out when it is opened. It holds no key and opens nothing.
package sealed
