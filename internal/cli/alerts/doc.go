// Package alerts is what the command line does with Alerts and Providers: it sends a test message
// through a Provider, and lists the Alerts with how their messages fare.
//
// In: the connection of the person who asks, whose rights count. Out: values to print. It changes
// nothing in the cluster, and shows no Secret.
package alerts
