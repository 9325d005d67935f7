// Package budget keeps templates of charts from running without end and from growing without bound.
//
// Go's templates cannot be interrupted, and a chart is the work of strangers: a loop over a large
// number, templates that include each other twice each, or a list that contains itself would take the
// time, the memory, or the whole process. So each loop and each named template gets a call at its start
// that counts (Instrument), functions that can make much of little are replaced by ones that count
// (Meter), and templates that are made while rendering are treated the same way. What a chart yields is
// not changed by it.
//
// In: the text of templates, limits. Out: text, and functions for Helm's engine. It never renders.
package budget
