// Package logbook answers those who may read the audit log.
//
// In: requests over HTTP, each with a token of the cluster for our own audience. Out: records, or the
// whole log as an export, which verifies without us. The cluster says whose the token is (TokenReview)
// and whether that one may read (SubjectAccessReview); the package itself knows no users and no rights.
// It writes nothing.
package logbook
