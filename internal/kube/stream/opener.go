package stream

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
)

// opener sends the two requests of a stream.
type opener interface {
	list(ctx context.Context, options metav1.ListOptions) (page, error)
	watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

// page is an answer to a list; each gives up every object as it hands it over.
type page struct {
	meta   metav1.ListMeta
	length int
	each   func(func(metav1.Object))
}

func openerFor(clients Clients, target Target, namespace string) opener {
	if target.MetadataOnly {
		return metadataOpener{clients.Metadata().Resource(target.Resource).Namespace(namespace)}
	}
	return wholeOpener{clients.Dynamic().Resource(target.Resource).Namespace(namespace)}
}

type wholeOpener struct{ client dynamic.ResourceInterface }

func (o wholeOpener) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return o.client.Watch(ctx, options)
}

func (o wholeOpener) list(ctx context.Context, options metav1.ListOptions) (page, error) {
	answer, err := o.client.List(ctx, options)
	if err != nil {
		return page{}, err
	}
	return page{
		meta:   metaOf(answer),
		length: len(answer.Items),
		each: func(take func(metav1.Object)) {
			for i := range answer.Items {
				take(&unstructured.Unstructured{Object: answer.Items[i].Object})
				answer.Items[i].Object = nil
			}
		},
	}, nil
}

type metadataOpener struct{ client metadata.ResourceInterface }

func (o metadataOpener) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return o.client.Watch(ctx, options)
}

func (o metadataOpener) list(ctx context.Context, options metav1.ListOptions) (page, error) {
	answer, err := o.client.List(ctx, options)
	if err != nil {
		return page{}, err
	}
	return page{
		meta:   metaOf(answer),
		length: len(answer.Items),
		each: func(take func(metav1.Object)) {
			for i := range answer.Items {
				object := answer.Items[i]
				take(&object)
				answer.Items[i] = metav1.PartialObjectMetadata{}
			}
		},
	}, nil
}

func metaOf(list metav1.ListInterface) metav1.ListMeta {
	return metav1.ListMeta{
		ResourceVersion:    list.GetResourceVersion(),
		Continue:           list.GetContinue(),
		RemainingItemCount: list.GetRemainingItemCount(),
	}
}
