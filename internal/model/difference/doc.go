// Package difference says in which fields two states of an object differ. List items that have names
// are matched by their names, others by their places.
//
// In: decoded JSON. Out: paths, and the values on both sides; whether those may be shown is for the
// caller to know.
package difference
