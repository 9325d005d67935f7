// Package memory keeps what a process has in memory to itself: decrypted values are there, and keys.
//
// In: nothing. Out: a process that leaves no core dump when it dies, whoever collects these on the machine,
// and that no other process of the same user can look into. It changes nothing else.
package memory
