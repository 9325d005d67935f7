// Package danger judges what a delivery would destroy: how much of a unit it deletes, whether something
// that holds data goes along, what is deleted and made anew for a field that cannot change, and what stops
// or starts being looked after.
//
// In: a check.Set. Out: findings. A unit's author acknowledges deletions by an annotation on the unit, which
// the set brings along. It reads from the cluster under the unit's identity, and writes nothing.
package danger
