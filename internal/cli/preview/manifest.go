package preview

import (
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// maxManifests bounds what is read of manifests from outside of a tree.
const maxManifests = 64 << 20

// ReadManifests reads objects in YAML or JSON, for Options.Manifests.
func ReadManifests(in io.Reader) ([]*unstructured.Unstructured, error) {
	limited := &io.LimitedReader{R: in, N: maxManifests + 1}
	decoder := yaml.NewYAMLOrJSONDecoder(limited, 4096)
	var objects []*unstructured.Unstructured
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(&u.Object)
		switch {
		case limited.N == 0:
			return nil, fmt.Errorf("manifests are larger than %d bytes", maxManifests)
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, err
		case len(u.Object) == 0:
		case u.GetKind() == "" || u.GetAPIVersion() == "" || u.GetName() == "":
			return nil, errors.New("apiVersion, kind and metadata.name must be set in each object")
		default:
			objects = append(objects, u)
		}
	}
}
