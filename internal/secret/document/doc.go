// Package document is a file that SOPS encrypts: it is read, opened, changed and sealed in memory.
//
// In: the bytes of a file and its name, which tells the format, keys, and the recipients that a rule
// names. Out: bytes that the sops program reads as its own, with comments and order as sops keeps
// them. The package touches neither disk nor network but for key management services, and its errors
// never hold a value of a file.
package document
