// Package position finds the line of a file at which an object, or a field of it, stands.
//
// In: the text of a file, an object's reference, the path of a field. Out: a line, 0 where there is none.
// What is built may differ from what is written: then the line is that of the nearest thing that is
// there. It reads no file itself.
package position
