// Package receiver reconciles Receivers: it derives the webhook's path from the token and says whether
// the webhook can work.
//
// In: Receivers and their Secrets. Out: status.webhookPath and conditions, in Flux's words. It does
// not listen: internal/hook/receiver does, and finds a Receiver by its path here.
package receiver
