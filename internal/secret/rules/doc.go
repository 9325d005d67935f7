// Package rules reads and extends .sops.yaml, which says to whom the files of a repository are
// encrypted.
//
// In: a file's path, or an environment and its key. Out: the rule of the file, as sops finds it, or the
// text of .sops.yaml with one rule or one recipient more. Everything else in it stays as it is, byte by
// byte. The package holds public keys only.
package rules
