// Package kms asks key services to open data keys: Vault and OpenBao, AWS, Azure, and Google Cloud.
//
// In: the credentials of one unit, or whose identity it asks with, and what a file says of its key. Out: the data key.
// Credentials come from the unit's Secret, or from a ServiceAccount by way of identity: never from the environment,
// a metadata service, a file, or a process. Nothing that a service answers gets into an error but its status.
package kms
