package store

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"holdfast.dev/holdfast/internal/model/tree"
)

// block is the unit of tar: headers and content are padded to it.
const block = 512

// place says where a file's member is in the archive, and where the content begins in it.
type place struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
	Header int64 `json:"header"` // inflated bytes before the content
}

// deflaters and inflaters are reused: their tables are far larger than most of the files.
var (
	deflaters = sync.Pool{New: func() any {
		writer, _ := gzip.NewWriterLevel(io.Discard, compression) // only an unknown level is an error
		return writer
	}}
	inflaters = sync.Pool{New: func() any { return new(gzip.Reader) }}
	buffers   = sync.Pool{New: func() any { return new(bytes.Buffer) }}
)

// writeMember appends one file to w as a gzip member that depends on nothing but the file. It
// returns the length of the header before compression.
func writeMember(w io.Writer, entry tree.Entry, content io.Reader) (header int64, err error) {
	err = deflate(w, func(inner io.Writer) error {
		counter := &counter{Writer: inner}
		archive := tar.NewWriter(counter)
		if err := archive.WriteHeader(headerOf(entry)); err != nil {
			return err
		}
		header = counter.written
		if written, err := io.Copy(archive, content); errors.Is(err, tar.ErrWriteTooLong) {
			return fmt.Errorf("content is longer than the %d bytes announced", entry.Size)
		} else if err != nil {
			return err
		} else if written != entry.Size {
			return fmt.Errorf("content ends after %d of %d bytes", written, entry.Size)
		}
		return archive.Flush() // pads; Close would end the archive
	})
	return header, err
}

// writeEnd appends the mark that ends a tar archive.
func writeEnd(w io.Writer) error {
	return deflate(w, func(inner io.Writer) error { return tar.NewWriter(inner).Close() })
}

func deflate(w io.Writer, write func(io.Writer) error) error {
	deflater := deflaters.Get().(*gzip.Writer)
	defer deflaters.Put(deflater)
	deflater.Reset(w)
	if err := write(deflater); err != nil {
		return err
	}
	return deflater.Close()
}

// headerOf has no owner, no time, and one of two modes, so that equal files give equal archives.
func headerOf(entry tree.Entry) *tar.Header {
	return &tar.Header{
		Typeflag: tar.TypeReg,
		Name:     entry.Path,
		Size:     entry.Size,
		Mode:     int64(entry.Mode),
		ModTime:  time.Unix(0, 0),
	}
}

// readMember inflates one member and returns the content in it. The member's checksum is verified.
func readMember(archive io.ReaderAt, at place, size int64) ([]byte, error) {
	compressed := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(compressed)
	compressed.Reset()
	if _, err := compressed.ReadFrom(io.NewSectionReader(archive, at.Offset, at.Length)); err != nil {
		return nil, err
	}
	inflater := inflaters.Get().(*gzip.Reader)
	defer inflaters.Put(inflater)
	if err := inflater.Reset(compressed); err != nil {
		return nil, err
	}
	inflater.Multistream(false)
	inflated := make([]byte, at.Header+padded(size))
	if _, err := io.ReadFull(inflater, inflated); err != nil {
		return nil, err
	}
	if _, err := inflater.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return nil, errors.Join(errors.New("member is longer than its index says"), err)
	}
	return inflated[at.Header : at.Header+size : at.Header+size], nil
}

func padded(size int64) int64 { return (size + block - 1) / block * block }

// counter counts what goes through it.
type counter struct {
	io.Writer
	written int64
}

func (c *counter) Write(content []byte) (int, error) {
	written, err := c.Writer.Write(content)
	c.written += int64(written)
	return written, err
}
