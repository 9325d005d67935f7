package history

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
)

// SecretType is the type of the Secrets that hold releases.
const SecretType = "holdfast.dev/release" //nolint:gosec // the name of a type, no secret

// Labels and annotations of those Secrets.
const (
	labelManaged = "app.kubernetes.io/managed-by"
	managed      = "holdfast"
	// LabelUnit is a digest of the unit's kind, namespace and name: names may be longer than labels.
	LabelUnit = "holdfast.dev/unit"
	// LabelPart counts the Secrets of one release from 0.
	LabelPart = "holdfast.dev/part"
	// AnnotationUnit names the unit: Kind/namespace/name.
	AnnotationUnit = "holdfast.dev/unit"
	// AnnotationRelease is what is known of the release, as JSON. Only the Secret of part 0 has it.
	AnnotationRelease = "holdfast.dev/release"
	annotationParts   = "holdfast.dev/parts"
)

const (
	dataKey = "objects" // zstd of the JSON of what the release consists of
	// partSize keeps a Secret below the server's limits of 1 MiB of data, and 1.5 MiB of a request.
	partSize = 900 << 10
	// maxRefs bounds the lists of objects that are kept with a release.
	maxRefs = 1000
)

// unitID identifies a unit in labels and names.
func unitID(kind string, unit object.Owner) string {
	sum := sha256.Sum256([]byte(kind + "/" + unit.Namespace + "/" + unit.Name))
	return hex.EncodeToString(sum[:8])
}

// secretName names a Secret so that people see whose it is, and no two are the same.
func secretName(kind string, unit object.Owner, number int64, part int) string {
	const longest = 180
	name := unit.Name
	if len(name) > longest {
		name = name[:longest]
	}
	text := fmt.Sprintf("holdfast-%s-%s-%d", name, unitID(kind, unit), number)
	if part > 0 {
		text += "-" + strconv.Itoa(part)
	}
	return text
}

// secretOf makes one part of a release.
func (s *Store) secretOf(unit object.Owner, one release.Release, part, parts int, data []byte) (*unstructured.Unstructured, error) {
	annotations := map[string]any{AnnotationUnit: s.kind + "/" + unit.String()}
	if part == 0 {
		state, err := encodeRelease(one)
		if err != nil {
			return nil, err
		}
		annotations[AnnotationRelease], annotations[annotationParts] = state, strconv.Itoa(parts)
	}
	secret := map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": SecretType,
		"metadata": map[string]any{
			"namespace": s.namespace, "name": secretName(s.kind, unit, one.Number, part),
			"labels": map[string]any{
				labelManaged: managed, LabelUnit: unitID(s.kind, unit), LabelPart: strconv.Itoa(part),
			},
			"annotations": annotations,
		},
	}
	if len(data) > 0 {
		secret["data"] = map[string]any{dataKey: base64.StdEncoding.EncodeToString(data)}
	}
	return &unstructured.Unstructured{Object: secret}, nil
}

// encodeRelease writes what is known of a release. Its lists are cut where they are too long to be
// kept: what is left out counts as if it had not been noticed.
func encodeRelease(one release.Release) (string, error) {
	one.Baseline = one.Baseline[:min(len(one.Baseline), maxRefs)]
	one.Made = one.Made[:min(len(one.Made), maxRefs)]
	raw, err := json.Marshal(one)
	if err != nil {
		return "", fmt.Errorf("encoding release %d: %w", one.Number, err)
	}
	return string(raw), nil
}

// Decode reads a release, and the unit that it is of, from the metadata of a Secret.
func Decode(meta metav1.Object) (kind string, unit object.Owner, one release.Release, err error) {
	annotations := meta.GetAnnotations()
	kind, unit, err = parseUnit(annotations[AnnotationUnit])
	if err != nil {
		return "", unit, one, fmt.Errorf("reading release Secret %s: %w", meta.GetName(), err)
	}
	if err := json.Unmarshal([]byte(annotations[AnnotationRelease]), &one); err != nil {
		return "", unit, one, fmt.Errorf("reading release Secret %s: %w", meta.GetName(), err)
	}
	if one.Number < 1 {
		return "", unit, one, fmt.Errorf("reading release Secret %s: it has no number", meta.GetName())
	}
	return kind, unit, one, nil
}

var errUnit = errors.New("its annotation " + AnnotationUnit + " is not of the form Kind/namespace/name")

func parseUnit(text string) (string, object.Owner, error) {
	parts := splitUnit(text)
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return "", object.Owner{}, errUnit
	}
	return parts[0], object.Owner{Namespace: parts[1], Name: parts[2]}, nil
}
