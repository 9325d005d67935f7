// Package identitytest stands in for a cluster with ServiceAccounts and for the token services of AWS,
// Azure and Google Cloud. The clients that ask are the providers' own; only addresses are others.
package identitytest
