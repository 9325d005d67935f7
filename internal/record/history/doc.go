// Package history keeps the releases of units in the cluster: what is known of each, and the objects
// that it consists of, compressed, in Secrets of type holdfast.dev/release in the namespace of the
// controller.
//
// In: releases and their objects. Out: the same, after a restart or a change of leader as well. It
// never decides anything, and keeps nothing of an object outside Secrets.
package history
