package database

import (
	"context"
	"strings"
)

// Insert adds rows to a table, with as few statements as there can be.
func (t *Tx) Insert(ctx context.Context, table string, columns []string, rows [][]any) error {
	for len(rows) > 0 {
		count := t.atOnce(len(rows), len(columns))
		args := make([]any, 0, count*len(columns))
		for _, row := range rows[:count] {
			args = append(args, row...)
		}
		if _, err := t.Exec(ctx, insertion(table, columns, count), args...); err != nil {
			return err
		}
		rows = rows[count:]
	}
	return nil
}

// atOnce is how many rows the next statement takes: a power of four, so that the statements are few
// and the server's plans for them are used again.
func (t *Tx) atOnce(rows, columns int) int {
	count := 1
	for count*4 <= rows && count*4 <= 256 && count*4*columns <= t.dialect.arguments {
		count *= 4
	}
	return count
}

func insertion(table string, columns []string, rows int) string {
	row := "(" + strings.Repeat("?, ", len(columns)-1) + "?)"
	return "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES " +
		strings.Repeat(row+", ", rows-1) + row
}
