package examples

import (
	"embed"
	"io/fs"
)

//go:embed all:platform
var files embed.FS

// Platform returns the files of the example platform; its root is the root of the repository.
func Platform() fs.FS {
	platform, err := fs.Sub(files, "platform")
	if err != nil {
		panic(err) //nolint:forbidigo // only a malformed name fails, and this one is a constant
	}
	return platform
}
