// Package notification serves Flux's Alerts and Providers: it turns them into rules and targets, and
// tells people what is wrong with them.
//
// In: Alerts and Providers from the cluster, and the Secrets that Providers name, read at the moment
// of sending. Out: a Book for the alert dispatcher, and Kubernetes events on Alerts and Providers. The
// package keeps no Secret, and neither kind has a status to write to.
package notification
