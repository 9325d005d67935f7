// Package sopstest encrypts files for tests, with the code of SOPS and age themselves and with keys that
// are made for the test and gone with it.
package sopstest
