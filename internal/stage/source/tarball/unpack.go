package tarball

import (
	"archive/tar"
	"bufio"
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

// Limits bound an archive.
type Limits struct {
	// Content is the number of bytes that it may inflate to, and Files the number of its entries.
	Content int64
	Files   int
}

// Files are the regular files of an archive, and where their content is in the scratch file.
type Files struct {
	entries []tree.Entry
	offsets map[string]int64
	content io.ReaderAt
}

// Entries lists the files in the order of the archive.
func (f *Files) Entries() []tree.Entry { return f.entries }

// Open reads the content of a file. It implements what a store.Snapshot wants.
func (f *Files) Open(entry tree.Entry) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(f.content, f.offsets[entry.Path], entry.Size)), nil
}

// Snapshot gives all files to the store.
func (f *Files) Snapshot(revision string) store.Snapshot {
	return store.Snapshot{Revision: revision, Entries: f.entries, Open: f.Open}
}

// Unpack reads an archive and writes the content of its files to one scratch file, which has to stay open
// for as long as they are read. Folders need no entry of their own and links are left out, as Flux does;
// anything else is refused.
func Unpack(ctx context.Context, archive io.Reader, content *os.File, limits Limits) (*Files, error) {
	plain, err := inflate(archive)
	if err != nil {
		return nil, err
	}
	bounded := &bounded{Reader: plain, left: limits.Content}
	headers := tar.NewReader(bounded)
	found := &Files{offsets: map[string]int64{}, content: content}
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
		if entries >= limits.Files {
			return nil, fmt.Errorf("archive has more than the %d entries allowed", limits.Files)
		}
		written, err := found.add(header, headers, content, end)
		if err != nil {
			return nil, err
		}
		end += written
	}
}

// inflate reads all members of a gzip file, one after another, or a tar as it is.
func inflate(archive io.Reader) (io.Reader, error) {
	buffered := bufio.NewReaderSize(archive, 64<<10)
	magic, err := buffered.Peek(2)
	if err != nil {
		return nil, fmt.Errorf("archive is empty: %w", err)
	}
	if magic[0] == 0x1f && magic[1] == 0x8b {
		return gzip.NewReader(buffered)
	}
	if head, err := buffered.Peek(262); err != nil || string(head[257:262]) != "ustar" {
		return nil, errors.New("archive is not gzip, and not tar")
	}
	return buffered, nil
}

// add judges one entry and copies its content to the end of the scratch file.
func (f *Files) add(header *tar.Header, from io.Reader, content io.Writer, end int64) (written int64, err error) {
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
	f.offsets[name] = end // of two entries with one name the last one counts, as in any tar
	f.entries = append(f.entries, tree.Entry{
		Path: name, Hash: "sha256:" + hex.EncodeToString(sum.Sum(nil)), Size: written, Mode: header.FileInfo().Mode().Perm(),
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
