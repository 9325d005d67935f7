// Package secrets is the commands `holdfast secrets …`: writing, rotating and checking what a
// repository holds in encrypted form.
//
// In: files of the person's repository, keys of the person or of a cluster. Out: encrypted files, and
// what there is to say about them. Plain text goes to standard output where it is asked for, to the
// person's editor in a private folder, and nowhere else. No secret is taken from an argument, and none
// is in a message.
package secrets
