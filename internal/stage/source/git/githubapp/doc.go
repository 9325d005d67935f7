// Package githubapp makes a GitHub App a reader of its installation's repositories.
//
// In: what a Secret says of an App. Out: tokens of its installation, each for as long as GitHub says,
// shared by all that name the same App. The App's key signs a short claim and never leaves the process;
// neither key nor token is ever part of an error.
package githubapp
