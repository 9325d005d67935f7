// Package scan finds secrets in plain text: Secrets of Kubernetes that are not encrypted, private keys,
// tokens of known shapes, passwords in addresses, and values that look random under names that look
// secret.
//
// In: the name and the content of a file. Out: findings with their lines, and never with a value. A line
// may be waived with the comment `holdfast:allow-secret REASON`, on it or above it. The package reads
// no file itself and keeps nothing of what it has seen.
package scan
