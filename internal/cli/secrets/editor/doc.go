// Package editor lets a person edit a text in the editor of his choice.
//
// In: a text that nobody else may see. Out: the text as it was left. While the editor runs, the text is
// in a file in a folder that only the person can enter, in memory where the machine offers that, and
// gone afterwards, also when the program is told to end. This is the one package that starts a program,
// and the program is the one that the person's environment names; no repository has a say in it.
package editor
