package admission

import (
	"fmt"

	registration "k8s.io/api/admissionregistration/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// Params finds the objects that may serve as parameters: all of a kind. namespaced tells whether the kind
// lives in namespaces. An error says that they could not be found out.
type Params func(apiVersion, kind string) (objects []map[string]any, namespaced bool, err error)

// informer gives the dispatcher parameters that are there already.
type informer struct {
	cache.SharedIndexInformer
	lister cache.GenericLister
}

// Informer implements informers.GenericInformer.
func (i informer) Informer() cache.SharedIndexInformer { return i }

// Lister implements informers.GenericInformer.
func (i informer) Lister() cache.GenericLister { return i.lister }

// HasSynced tells that all there is is here.
func (i informer) HasSynced() bool { return true }

// collect returns what a policy with a kind of parameters needs; nothing for one without.
func collect(kind *registration.ParamKind, params Params) (informers.GenericInformer, apimeta.RESTScope, error) {
	if kind == nil {
		return nil, nil, nil
	}
	if params == nil {
		return nil, nil, fmt.Errorf("parameters of kind %s cannot be read here", kind.Kind)
	}
	objects, namespaced, err := params(kind.APIVersion, kind.Kind)
	if err != nil {
		return nil, nil, fmt.Errorf("reading parameters of kind %s: %w", kind.Kind, err)
	}
	index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, object := range objects {
		if err := index.Add(typed(object)); err != nil {
			return nil, nil, fmt.Errorf("keeping a parameter of kind %s: %w", kind.Kind, err)
		}
	}
	resource, _ := apimeta.UnsafeGuessKindToResource(gvk(kind.APIVersion, kind.Kind))
	found := informer{lister: cache.NewGenericLister(index, resource.GroupResource())}
	if namespaced {
		return found, apimeta.RESTScopeNamespace, nil
	}
	return found, apimeta.RESTScopeRoot, nil
}
