// Package send brings one message to one service: chats, pagers, forges and plain webhooks.
//
// In: a Target, which is a Provider with its Secrets resolved, and a Message. Out: what the service
// answered, or an error whose kind says whether another attempt could help (fault). What a service is
// sent is made by pure functions; one client sends it all. The client never connects to addresses
// that only this machine or its cloud has, never follows a redirect to another host, and no error of
// this package contains a secret.
package send
