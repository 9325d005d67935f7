package table

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Column is one column of a table.
type Column struct {
	Title string
	// Wide columns appear in wide tables only.
	Wide bool
	// Shrinks lets the column lose the end of its text where the line would be wider than the terminal.
	Shrinks bool
}

// Cell is the text of one row in one column. The text is made printable when it is written.
type Cell struct {
	Text string
	Tone Tone
}

// Row has one cell for each column of the table.
type Row []Cell

// Style is how a table looks.
type Style struct {
	Wide     bool
	Headless bool // leave the titles out
	Colour   bool
	Width    int // of the terminal; 0 means that lines may have any width
}

// Writer writes tables whose rows may come bit by bit. It is not safe for concurrent use.
type Writer struct {
	out     io.Writer
	style   Style
	columns []Column
	widths  []int
	begun   bool
}

// NewWriter returns a writer of rows with these columns.
func NewWriter(out io.Writer, style Style, columns ...Column) *Writer {
	return &Writer{out: out, style: style, columns: columns, widths: make([]int, len(columns))}
}

const (
	gap      = "   "
	narrow   = 16 // a column that shrinks keeps this width
	ellipsis = "…"
)

// Write writes the rows. Columns become as wide as the widest text so far, so that rows of a later
// call line up where they can.
func (w *Writer) Write(rows ...Row) error {
	lines := make([]Row, 0, len(rows)+1)
	if !w.begun && !w.style.Headless {
		lines = append(lines, w.titles())
	}
	w.begun = true
	for _, row := range rows {
		lines = append(lines, printable(row))
	}
	for _, line := range lines {
		for i, cell := range line {
			w.widths[i] = max(w.widths[i], utf8.RuneCountInString(cell.Text))
		}
	}
	widths := w.fitted()
	var text strings.Builder
	for _, line := range lines {
		w.line(&text, line, widths)
	}
	_, err := io.WriteString(w.out, text.String())
	return err
}

func (w *Writer) titles() Row {
	titles := make(Row, len(w.columns))
	for i, column := range w.columns {
		titles[i] = Cell{Text: column.Title}
	}
	return titles
}

func printable(row Row) Row {
	clean := make(Row, len(row))
	for i, cell := range row {
		clean[i] = Cell{Text: OneLine(cell.Text), Tone: cell.Tone}
	}
	return clean
}

func (w *Writer) shown(column int) bool { return w.style.Wide || !w.columns[column].Wide }

// fitted takes the width that a line has too much from the columns that shrink, the last one first.
func (w *Writer) fitted() []int {
	widths := append([]int(nil), w.widths...)
	if w.style.Width <= 0 {
		return widths
	}
	total := -len(gap)
	for i, width := range widths {
		if w.shown(i) {
			total += width + len(gap)
		}
	}
	for i := len(widths) - 1; i >= 0 && total > w.style.Width; i-- {
		if !w.shown(i) || !w.columns[i].Shrinks || widths[i] <= narrow {
			continue
		}
		less := min(total-w.style.Width, widths[i]-narrow)
		widths[i] -= less
		total -= less
	}
	return widths
}

func (w *Writer) line(text *strings.Builder, row Row, widths []int) {
	padding := 0 // owed by the columns before; the last one owes none
	for i, cell := range row {
		if !w.shown(i) {
			continue
		}
		shown := cut(cell.Text, widths[i])
		if shown != "" {
			fmt.Fprintf(text, "%*s%s", padding, "", Paint(shown, cell.Tone, w.style.Colour))
			padding = 0
		}
		padding += widths[i] - utf8.RuneCountInString(shown) + len(gap)
	}
	text.WriteByte('\n')
}

// cut shortens text to width characters.
func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	runes := []rune(text)
	return string(runes[:max(width-1, 0)]) + ellipsis
}
