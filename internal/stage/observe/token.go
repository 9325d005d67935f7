package observe

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/model/object"
)

// digest is half of a SHA-256: enough that nobody can make two states of an object look the same.
type digest [16]byte

// hasher writes values in a form in which equal values are equal bytes. It is reused, because every
// event needs two digests.
type hasher struct {
	buffer []byte
	keys   []string // of the maps being written, one after the other
}

func (h *hasher) sum() digest {
	full := sha256.Sum256(h.buffer)
	h.buffer = h.buffer[:0]
	return digest(full[:len(digest{})])
}

// tokenOf is the digest of what is ours of an object: which fields our server-side apply owns, since
// when, in which API version, and who the object belongs to.
//
// Whoever changes or removes a field that we own takes it out of our managed-fields entry, whatever
// the tool; the API server sees to it. Changes of other fields, and of status, leave it as it is.
func (h *hasher) tokenOf(u *unstructured.Unstructured, manager string, family object.Family) digest {
	metadata, _ := u.Object["metadata"].(map[string]any)
	entries, _ := metadata["managedFields"].([]any)
	for _, one := range entries {
		entry, _ := one.(map[string]any)
		if entry["manager"] != manager || entry["operation"] != "Apply" || text(entry["subresource"]) != "" {
			continue
		}
		h.text(text(entry["apiVersion"]))
		h.text(text(entry["time"]))
		h.value(entry["fieldsV1"])
	}
	labels, _ := metadata["labels"].(map[string]any)
	h.text(text(labels[family.NameLabel()]))
	h.text(text(labels[family.NamespaceLabel()]))
	return h.sum()
}

// contentOf is the digest of what people want of an object: everything but its status and what the
// server keeps for itself.
func (h *hasher) contentOf(u *unstructured.Unstructured) digest {
	metadata, _ := u.Object["metadata"].(map[string]any)
	for _, key := range []string{"labels", "annotations", "finalizers", "ownerReferences"} {
		h.value(metadata[key])
	}
	h.object(u.Object, func(key string) bool { return key != "metadata" && key != "status" })
	return h.sum()
}

// value writes a JSON value. Each kind starts with a letter of its own, and what has no fixed length
// tells it, so that no two values can be mistaken for each other.
func (h *hasher) value(value any) {
	switch typed := value.(type) {
	case map[string]any:
		h.object(typed, nil)
	case []any:
		h.number('l', uint64(len(typed)))
		for _, one := range typed {
			h.value(one)
		}
	case string:
		h.text(typed)
	case bool:
		if typed {
			h.buffer = append(h.buffer, 't')
		} else {
			h.buffer = append(h.buffer, 'f')
		}
	case int64:
		h.number('i', uint64(typed)) //nolint:gosec // any bijection does
	case float64:
		h.number('d', math.Float64bits(typed))
	default:
		h.buffer = append(h.buffer, 'n')
	}
}

func (h *hasher) object(fields map[string]any, wanted func(string) bool) {
	start := len(h.keys)
	for key := range fields {
		if wanted == nil || wanted(key) {
			h.keys = append(h.keys, key)
		}
	}
	end := len(h.keys)
	slices.SortFunc(h.keys[start:end], cmp.Compare[string])
	h.number('m', uint64(end-start)) //nolint:gosec // it is not negative
	for i := start; i < end; i++ {
		key := h.keys[i]
		h.text(key)
		h.value(fields[key])
	}
	h.keys = h.keys[:start]
}

func (h *hasher) text(value string) {
	h.number('s', uint64(len(value)))
	h.buffer = append(h.buffer, value...)
}

func (h *hasher) number(kind byte, value uint64) {
	h.buffer = binary.BigEndian.AppendUint64(append(h.buffer, kind), value)
}

func text(value any) string {
	result, _ := value.(string)
	return result
}
