package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"holdfast.dev/holdfast/internal/model/tree"
)

// record is the index of one archive as it is on disk: a line with the SHA-256 of the rest, then
// JSON. The checksum matters because a wrong offset would give one file's content for another's.
type record struct {
	Digest   string `json:"digest"`
	Revision string `json:"revision"`
	// Encoding names what compressed the members. Only members of the same encoding may be copied
	// to a new archive, or its digest would tell of its history.
	Encoding string        `json:"encoding"`
	Size     int64         `json:"size"`
	Entries  []recordEntry `json:"entries"`
}

type recordEntry struct {
	Path string      `json:"path"`
	Hash string      `json:"hash"`
	Size int64       `json:"size"`
	Mode fs.FileMode `json:"mode"`
	place
}

func encodeRecord(body *body) ([]byte, error) {
	files := body.index.Entries()
	out := record{
		Digest: body.digest, Revision: body.first, Encoding: body.encoding, Size: body.size,
		Entries: make([]recordEntry, len(files)),
	}
	for i, file := range files {
		out.Entries[i] = recordEntry{file.Path, file.Hash, file.Size, file.Mode, body.places[i]}
	}
	content, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	return append([]byte(hex.EncodeToString(sum[:])+"\n"), content...), nil
}

// decodeRecord reads an index file and checks that it belongs to the archive of that digest.
func decodeRecord(content []byte, digest string) (*body, error) {
	checksum, content, found := bytes.Cut(content, []byte("\n"))
	sum := sha256.Sum256(content)
	if !found || string(checksum) != hex.EncodeToString(sum[:]) {
		return nil, errors.New("index does not match its checksum")
	}
	var in record
	if err := json.Unmarshal(content, &in); err != nil {
		return nil, fmt.Errorf("decoding index: %w", err)
	}
	if in.Digest != digest {
		return nil, fmt.Errorf("index belongs to %s", in.Digest)
	}
	body := &body{
		digest: digest, first: in.Revision, size: in.Size, encoding: in.Encoding,
		places: make([]place, len(in.Entries)),
	}
	entries := make([]tree.Entry, len(in.Entries))
	for i, file := range in.Entries {
		entries[i] = tree.Entry{Path: file.Path, Hash: file.Hash, Size: file.Size, Mode: file.Mode}
		body.places[i] = file.place
	}
	body.index = tree.NewIndex(entries)
	return body, nil
}

// checked returns the entries as an index, or the reason why they cannot be a tree. Paths come from
// outside: one that leaves the root, or that is a file and a folder at once, ends the work.
func checked(entries []tree.Entry) (*tree.Index, error) {
	owned := make([]tree.Entry, len(entries))
	for i, entry := range entries {
		if !fs.ValidPath(entry.Path) || entry.Path == "." {
			return nil, fmt.Errorf("path %q is not clean and relative", entry.Path)
		}
		if entry.Size < 0 {
			return nil, fmt.Errorf("file %q has a negative size", entry.Path)
		}
		if entry.Mode.Perm()&0o111 != 0 {
			entry.Mode = 0o755
		} else {
			entry.Mode = 0o644
		}
		owned[i] = entry
	}
	index := tree.NewIndex(owned)
	for _, entry := range index.Entries() {
		if index.IsDir(entry.Path) {
			return nil, fmt.Errorf("path %q is a file and a folder", path.Clean(entry.Path))
		}
	}
	return index, nil
}
