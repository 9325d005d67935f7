// Package table lays out rows of text for people: columns that line up, lines that fit the terminal,
// colours where they help.
//
// In: cells, which may hold anything that a cluster or a repository says. Out: plain lines; control
// characters never reach the terminal. It knows nothing of what the cells mean.
package table
