// Package event tells the world what controllers say: as Kubernetes events, as Flux's event JSON, and
// to whoever takes them in this process.
//
// In: what a controller says of an object (Recorder), and the events that other controllers post
// (Receiver). Out: Events, to a function that takes them, and to the notification controller of
// somebody else (Forwarder). The package does not know what an alert is, and it never makes the one
// who speaks wait.
package event
