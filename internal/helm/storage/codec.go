package storage

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"
)

// A Secret of a cluster holds no more than this.
const maxSecret = 1 << 20

// maxRecord is how large a record may be when it is unpacked.
const maxRecord = 128 << 20

// ErrTooLarge says that a release does not fit into a Secret.
var ErrTooLarge = errors.New("release is too large for Helm's storage")

// encode writes a record as Helm does: JSON, in gzip, in base64.
func encode(record *helmrelease.Release) ([]byte, error) {
	raw, err := json.Marshal(record)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if _, err := writer.Write(raw); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	text := make([]byte, base64.StdEncoding.EncodedLen(packed.Len()))
	base64.StdEncoding.Encode(text, packed.Bytes())
	if len(text) > maxSecret {
		return nil, fmt.Errorf("%w: packed it has %d bytes of at most %d: move large files of the chart elsewhere, or list them in its .helmignore", ErrTooLarge, len(text), maxSecret)
	}
	return text, nil
}

// decode reads what Helm or encode wrote. Very old records are not packed.
func decode(text []byte) (*helmrelease.Release, error) {
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	length, err := base64.StdEncoding.Decode(raw, text)
	if err != nil {
		return nil, errors.New("it is not base64")
	}
	raw = raw[:length]
	if bytes.HasPrefix(raw, []byte{0x1f, 0x8b, 0x08}) {
		reader, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, fmt.Errorf("unpacking: %w", err)
		}
		if raw, err = io.ReadAll(io.LimitReader(reader, maxRecord+1)); err != nil {
			return nil, fmt.Errorf("unpacking: %w", err)
		}
		if len(raw) > maxRecord {
			return nil, fmt.Errorf("unpacking: it has more than %d bytes", maxRecord)
		}
	}
	record := &helmrelease.Release{}
	if err := json.Unmarshal(raw, record); err != nil {
		return nil, errors.New("it is no release of Helm")
	}
	if record.Info == nil {
		record.Info = &helmrelease.Info{}
	}
	return record, nil
}
