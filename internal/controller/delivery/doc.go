// Package delivery is what the controllers of units have in common, whatever kind of unit they serve:
// clusters that units name, requests by annotation, dependencies, wake-ups, and how status is written.
//
// In: the parts of a unit's resource that all kinds have. Out: plain structs for the line, and patches for
// the server. It knows no kind of its own, and decides nothing about objects.
package delivery
