// Package keyring holds the keys that are at hand on this machine, and uses them as SOPS' key service.
//
// In: places where private keys lie, and recipients. Out: data keys, encrypted to recipients or
// opened. Keys come only from the places that the caller names: no command is ever run to get one, no
// plugin and no GnuPG program, whatever the environment or a file asks for. A private key leaves the
// package in no form; it is shown by its public half.
package keyring
