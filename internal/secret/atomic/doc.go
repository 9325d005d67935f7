// Package atomic writes a file so that it is, whatever happens, either what it was or what it was to
// become.
//
// In: a path and content. Out: the file in its place, with the mode that it had, safe on the disk when
// Write returns. A crash may leave one file beside it, whose name begins with a dot and ends in
// .holdfast; the next write takes its place. The package never writes plain text anywhere but where it
// is told to.
package atomic
