package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/model/object"
)

// kept is one object of a release.
type kept struct {
	Source string          `json:"source,omitempty"`
	Object json.RawMessage `json:"object"`
}

// maxUnpacked bounds what a release may unpack to; nobody delivers more than that at a time.
const maxUnpacked = 512 << 20

// window is how far back compression looks. Objects of a unit resemble their neighbours, and a small
// window costs little memory and time.
const window = 256 << 10

// newEncoder makes what compresses releases. It is safe for concurrent use.
func newEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true))
}

// pack compresses objects.
func (s *Store) pack(objects []object.Object) ([]byte, error) {
	if len(objects) == 0 {
		return nil, nil
	}
	encoder, err := s.encoder()
	if err != nil {
		return nil, fmt.Errorf("compressing objects: %w", err)
	}
	var text bytes.Buffer
	lines := json.NewEncoder(&text)
	lines.SetEscapeHTML(false)
	for _, one := range objects {
		if err := lines.Encode(kept{Source: one.Source, Object: one.JSON}); err != nil {
			return nil, fmt.Errorf("encoding %s: %w", one.Ref, err)
		}
	}
	return encoder.EncodeAll(text.Bytes(), nil), nil
}

// unpack reads what pack wrote. Damage is an error that says nothing of the content.
func unpack(packed []byte) ([]object.Object, error) {
	if len(packed) == 0 {
		return nil, nil
	}
	reader, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked))
	if err != nil {
		return nil, errors.New("it cannot be decompressed")
	}
	defer reader.Close()
	decoder := json.NewDecoder(io.LimitReader(reader, maxUnpacked))
	var objects []object.Object
	for {
		var one kept
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, errors.New("its content is damaged")
		}
		decoded := &unstructured.Unstructured{}
		if err := decoded.UnmarshalJSON(one.Object); err != nil {
			return nil, errors.New("one of its objects is damaged")
		}
		restored, err := object.New(decoded, one.Source)
		if err != nil {
			return nil, errors.New("one of its objects has no name or kind")
		}
		objects = append(objects, restored)
	}
}

func splitUnit(text string) []string { return strings.SplitN(text, "/", 3) }

// annotationPatch makes a JSON merge patch (RFC 7386) that sets one annotation.
func annotationPatch(name, value string) ([]byte, error) {
	return json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{name: value}}})
}
