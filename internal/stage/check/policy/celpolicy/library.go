package celpolicy

import (
	"errors"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/kyverno/kyverno/pkg/cel/compiler"
	"github.com/kyverno/sdk/extensions/cel/libs/globalcontext"
	"github.com/kyverno/sdk/extensions/cel/libs/gzip"
	"github.com/kyverno/sdk/extensions/cel/libs/hash"
	"github.com/kyverno/sdk/extensions/cel/libs/http"
	"github.com/kyverno/sdk/extensions/cel/libs/image"
	"github.com/kyverno/sdk/extensions/cel/libs/imagedata"
	"github.com/kyverno/sdk/extensions/cel/libs/json"
	"github.com/kyverno/sdk/extensions/cel/libs/math"
	"github.com/kyverno/sdk/extensions/cel/libs/resource"
	"github.com/kyverno/sdk/extensions/cel/libs/time"
	"github.com/kyverno/sdk/extensions/cel/libs/transform"
	"github.com/kyverno/sdk/extensions/cel/libs/user"
	"github.com/kyverno/sdk/extensions/cel/libs/x509"
	"github.com/kyverno/sdk/extensions/cel/libs/yaml"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Reader reads a cluster as the one on whose behalf policies are evaluated, and as nobody else.
type Reader interface {
	// List returns the objects of a resource in a namespace, or in all where it is empty.
	List(apiVersion, resource, namespace string, labels map[string]string) ([]map[string]any, error)
	// Read returns an object.
	Read(apiVersion, resource, namespace, name string) (map[string]any, error)
}

// library is what the functions of one policy reach. Functions know nothing of the evaluation that they are
// called in, so a policy that reads the cluster is evaluated for one request at a time.
type library struct {
	mu     sync.Mutex
	reader Reader
}

var (
	errNetwork   = errors.New("it is refused: policies have no network")
	errNoCluster = errors.New("there is no cluster to read from")
	errWrites    = errors.New("it is refused: policies write nothing")
)

// options returns Kyverno's functions, for a policy of a namespace or of the cluster.
func (l *library) options(namespace string) []cel.EnvOption {
	return append(compiler.OrValueCompatEnvOptions(),
		globalcontext.Lib(globalcontext.Context{ContextInterface: offline{}}, globalcontext.Latest()),
		http.Lib(http.Context{ContextInterface: offline{}}, http.Latest()),
		imagedata.Lib(imagedata.Context{ContextInterface: offline{}}, imagedata.Latest(), nil),
		resource.Lib(resource.Context{ContextInterface: l}, namespace, resource.Latest()),
		image.Lib(image.Latest()), user.Lib(user.Latest()), hash.Lib(hash.Latest()), math.Lib(math.Latest()),
		json.Lib(&json.JsonImpl{}, json.Latest()), yaml.Lib(&yaml.YamlImpl{}, yaml.Latest()),
		x509.Lib(x509.Latest()), time.Lib(time.Latest()), transform.Lib(transform.Latest()), gzip.Lib(gzip.Latest()),
	)
}

// ListResources implements resource.ContextInterface.
func (l *library) ListResources(apiVersion, kind, namespace string, labels map[string]string) (*unstructured.UnstructuredList, error) {
	if l.reader == nil {
		return nil, errNoCluster
	}
	found, err := l.reader.List(apiVersion, kind, namespace, labels)
	if err != nil {
		return nil, err
	}
	list := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "v1", "kind": "List"}}
	for _, object := range found {
		list.Items = append(list.Items, unstructured.Unstructured{Object: object})
	}
	return list, nil
}

// GetResource implements resource.ContextInterface.
func (l *library) GetResource(apiVersion, kind, namespace, name string) (*unstructured.Unstructured, error) {
	if l.reader == nil {
		return nil, errNoCluster
	}
	found, err := l.reader.Read(apiVersion, kind, namespace, name)
	return &unstructured.Unstructured{Object: found}, err
}

// PostResource implements resource.ContextInterface.
func (l *library) PostResource(string, string, string, map[string]any) (*unstructured.Unstructured, error) {
	return nil, errWrites
}

// ToGVR implements resource.ContextInterface.
func (l *library) ToGVR(apiVersion, kind string) (*schema.GroupVersionResource, error) {
	plural, _ := meta.UnsafeGuessKindToResource(schema.FromAPIVersionAndKind(apiVersion, kind))
	return &plural, nil
}

// offline answers for the network.
type offline struct{}

// GetGlobalReference implements globalcontext.ContextInterface.
func (offline) GetGlobalReference(string, string) (any, error) { return nil, errNetwork }

// GetImageData implements imagedata.ContextInterface.
func (offline) GetImageData(string, []remote.Option) (map[string]any, error) { return nil, errNetwork }

// Get implements http.ContextInterface.
func (offline) Get(string, map[string]string) (any, error) { return nil, errNetwork }

// Post implements http.ContextInterface.
func (offline) Post(string, any, map[string]string) (any, error) { return nil, errNetwork }

// Client implements http.ContextInterface.
func (offline) Client(string) (http.ContextInterface, error) { return nil, errNetwork }
