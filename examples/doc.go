// Package examples holds the platform repository that `holdfast up --demo` starts with and that the
// documentation explains. In: nothing. Out: its files, read-only, as one file system. It never
// interprets them: they are delivered like any other repository's.
package examples
