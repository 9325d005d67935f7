// Package simulate says how the simulated nodes of the embedded cluster play the kubelet: what becomes
// of a Pod, and how one fails whose image or annotation asks for it.
//
// In: nothing. Out: stages for KWOK. It never talks to a cluster.
package simulate
