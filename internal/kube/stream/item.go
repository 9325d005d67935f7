package stream

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Item is one object of the stream: its name, its place in history, and what Look made of it.
type Item[T any] struct {
	Namespace, Name string
	ResourceVersion string
	Value           T
}

// carrier brings an item through client-go's reflector, which wants to see an API object. The
// embedded interface is nil: the reflector asks for the few properties below only.
type carrier[T any] struct {
	metav1.Object
	item        Item[T]
	annotations map[string]string // of bookmarks alone
}

func (c *carrier[T]) GetNamespace() string              { return c.item.Namespace }
func (c *carrier[T]) GetName() string                   { return c.item.Name }
func (c *carrier[T]) GetResourceVersion() string        { return c.item.ResourceVersion }
func (c *carrier[T]) GetAnnotations() map[string]string { return c.annotations }
func (c *carrier[T]) GetObjectKind() schema.ObjectKind  { return schema.EmptyObjectKind }
func (c *carrier[T]) DeepCopyObject() runtime.Object    { return c } // nobody changes it
func (l *carriers[T]) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }
func (l *carriers[T]) DeepCopyObject() runtime.Object   { return l }

// carriers is one page of a list.
type carriers[T any] struct {
	metav1.ListMeta
	Items []*carrier[T]
}
