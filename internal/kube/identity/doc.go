// Package identity makes credentials for cloud providers, and for whoever else trusts the cluster, out of
// who somebody is in it. It is the one place that does.
//
// In: a ServiceAccount of the cluster, or nobody where the operator allows those to be us, and what the
// credentials are for. Out: credentials that are valid for a while. A token of the account is requested
// from the API server and exchanged at the provider, as annotations of the account say; these are Flux's
// own, and so is the library that exchanges.
//
// It never stores anything on a disk, never starts a process, and keeps what it has in bounds. An account
// without a name is refused unless Options.Own is set: nobody gets our own rights by leaving a field out.
// An account that is deleted or made to be somebody else is noticed within a minute. No token and no answer
// of a provider ever gets into an error.
//
// A source of artifacts asks in three lines: the account is in the resource's own namespace and is what its
// spec.serviceAccountName says; the provider is its spec.provider; and what is asked for is asked anew for
// each fetch, since answers are kept here for as long as they are valid:
//
//	holder := identities.Of(identity.Account{Namespace: object.Namespace, Name: object.Spec.ServiceAccountName})
//	login, err := holder.Registry(ctx, object.GetProvider(), "123456789012.dkr.ecr.eu-west-1.amazonaws.com/apps/web")
//	err = fault.Because(sourcev1.AuthenticationFailedReason, err)
//
// Registry is for OCI registries and Git for Git over https; both refuse an address that is none of the provider's.
// A Bucket asks AWS for keys with a region, Azure for a token with identity.StorageScope, and Google for a token.
package identity
