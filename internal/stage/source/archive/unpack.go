package archive

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/store"
)

// files are the regular files of an archive, and where their content is in the scratch file.
type files struct {
	entries []tree.Entry
	offsets map[string]int64
}

// snapshot gives the files to the store.
func (u *files) snapshot(revision string, content io.ReaderAt) store.Snapshot {
	return store.Snapshot{
		Revision: revision,
		Entries:  u.entries,
		Open: func(entry tree.Entry) (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(content, u.offsets[entry.Path], entry.Size)), nil
		},
	}
}

// unpack reads a verified archive and writes the content of its files to one scratch file. Folders
// need no entry of their own and links are left out, as Flux does; anything else is refused.
func (f *Fetcher) unpack(ctx context.Context, archive, content *os.File) (*files, error) {
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	inflated, err := gzip.NewReader(archive) // reads all members of the file, one after another
	if err != nil {
		return nil, fmt.Errorf("archive is not gzip: %w", err)
	}
	bounded := &bounded{Reader: inflated, left: f.options.MaxContent}
	headers := tar.NewReader(bounded)
	found := &files{offsets: map[string]int64{}}
	var end int64
	for entries := 0; ; entries++ {
		header, err := headers.Next()
		if errors.Is(err, io.EOF) {
			// The rest must be there and be intact, or the gzip checksum was never looked at.
			_, err = io.Copy(io.Discard, bounded)
			return found, err
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if entries >= f.options.MaxFiles {
			return nil, fmt.Errorf("archive has more than the %d entries allowed", f.options.MaxFiles)
		}
		written, err := found.add(header, headers, content, end)
		if err != nil {
			return nil, err
		}
		end += written
	}
}

// add judges one entry and copies its content to the end of the scratch file.
func (u *files) add(header *tar.Header, from io.Reader, content io.Writer, end int64) (written int64, err error) {
	name, err := safeName(header.Name)
	if err != nil {
		return 0, err
	}
	switch header.Typeflag {
	case tar.TypeReg:
	case tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeXGlobalHeader:
		return 0, nil
	default:
		return 0, fmt.Errorf("entry %q has the unsupported type %q", header.Name, header.Typeflag)
	}
	if name == "." {
		return 0, fmt.Errorf("file %q has no name", header.Name)
	}
	sum := sha256.New()
	written, err = io.Copy(io.MultiWriter(content, sum), from)
	if err != nil {
		return written, fmt.Errorf("reading %q: %w", name, err)
	}
	u.offsets[name] = end // of two entries with one name the last one counts, as in any tar
	u.entries = append(u.entries, tree.Entry{
		Path: name, Hash: "sha256:" + hex.EncodeToString(sum.Sum(nil)), Size: written, Mode: fs.FileMode(header.Mode).Perm(),
	})
	return written, nil
}

// safeName cleans an entry's name and refuses one that leads out of the tree.
func safeName(name string) (string, error) {
	clean := path.Clean(name)
	if name == "" || strings.ContainsAny(name, "\\\x00") || !fs.ValidPath(clean) {
		return "", fmt.Errorf("entry %q has a name that leads out of the archive", name)
	}
	return clean, nil
}

// bounded is a reader that refuses to give more than is left.
type bounded struct {
	io.Reader
	left int64
}

func (b *bounded) Read(into []byte) (int, error) {
	n, err := b.Reader.Read(into)
	if b.left -= int64(n); b.left < 0 {
		return 0, errors.New("archive inflates to more than the bytes allowed")
	}
	return n, err
}
