package database

import (
	"database/sql"
	"strconv"
	"strings"
)

// dialect is what differs between the databases.
type dialect struct {
	numbered bool   // arguments are $1, $2, … and not question marks
	lock     string // statement that locks a name until the transaction ends; empty where none is needed
	types    *strings.Replacer
	snapshot sql.IsolationLevel // under which a transaction sees one moment
	idle     int                // connections that are kept
	// arguments is how many a statement may have.
	arguments int
}

// bind writes the arguments of a query as the database wants them. Question marks in quotes stay.
func (d dialect) bind(query string) string {
	if !d.numbered {
		return query
	}
	var bound strings.Builder
	quoted, count := false, 0
	for _, r := range query {
		switch {
		case r == '\'':
			quoted = !quoted
		case r == '?' && !quoted:
			count++
			bound.WriteByte('$')
			bound.WriteString(strconv.Itoa(count))
			continue
		}
		bound.WriteRune(r)
	}
	return bound.String()
}
