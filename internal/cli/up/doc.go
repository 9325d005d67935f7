// Package up brings a platform up on this machine: an embedded cluster, the controller, and a Git
// repository that is delivered to it, watched for commits, until the person has had enough.
//
// In: what to deliver. Out: a running platform, and a report of what happens to each unit.
package up
