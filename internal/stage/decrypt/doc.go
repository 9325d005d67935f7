// Package decrypt opens what SOPS encrypted, with the keys of one unit and no others.
//
// In: the keys of a unit, as a Secret holds them, and boxes of encrypted data. Out: what was in the
// boxes, its integrity verified, or one sentence that says why a box does not open, what it was
// encrypted for, which keys were at hand, and what to do.
//
// It never looks for keys in the environment, in files, or in agents, never starts a process, writes
// nothing to a disk, and reaches no network but the key services that a box names and the unit has
// credentials for. No private key and no decrypted value ever gets into an error.
package decrypt
