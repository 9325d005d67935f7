// Package database opens the record store: a SQLite file, or a PostgreSQL database.
//
// In: the place of the store, and the migrations of each component that keeps something there. Out:
// a DB, whose statements are written once, in the words that both databases know. Queries have
// question marks for their arguments; migrations write {bytes} and {identity} where the databases
// differ in types. A password in the place never prints. The package knows nothing of what is kept,
// and it decides nothing about a store that is down: nothing is connected before the first
// statement, and each statement after a failure tries anew.
package database
