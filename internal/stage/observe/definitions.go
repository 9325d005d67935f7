package observe

import (
	"context"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holdfast.dev/holdfast/internal/kube/stream"
)

// definitions is a watch on CustomResourceDefinitions. It stands while a kind in use is not served,
// so that the kind is found as soon as it is.
type definitions struct{ stop context.CancelFunc }

var definitionResource = schema.GroupVersionResource{
	Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
}

// After a change of a definition, a server takes a moment until it serves the kind: look a few times
// in short order.
const (
	settlePause = 300 * time.Millisecond
	settleLooks = 10
)

// watchDefinitions starts or ends the watch. The lock is held.
func (o *Observer) watchDefinitions(wanted bool) {
	switch {
	case wanted && o.definitions == nil:
		ctx, stop := context.WithCancel(o.ctx)
		o.definitions = &definitions{stop: stop}
		target := stream.Target{Resource: definitionResource, MetadataOnly: true}
		o.tasks.Go(func() { stream.Run(ctx, o.cluster, target, o.definitionSink(), o.options.Log) })
	case !wanted && o.definitions != nil:
		o.definitions.stop()
		o.definitions = nil
	}
}

func (o *Observer) definitionSink() stream.Sink[struct{}] {
	return stream.Sink[struct{}]{
		Look: func(metav1.Object) struct{} { return struct{}{} },
		Put:  func(item stream.Item[struct{}]) { o.defined(item.Name) },
		Drop: func(stream.Item[struct{}]) {},
		Replace: func(items []stream.Item[struct{}], _ stream.Position) {
			for _, item := range items {
				o.defined(item.Name)
			}
		},
		Link: func(error) {},
	}
}

// defined looks for the kinds of a group again, because a definition of it, named "plural.group",
// was created or changed.
func (o *Observer) defined(name string) {
	_, group, _ := strings.Cut(name, ".")
	o.lock.Lock()
	defer o.lock.Unlock()
	for f := range o.feeds {
		if f.unserved && f.run == nil && f.kind.gk.Group == group {
			f.due, f.tries = o.options.Now(), -settleLooks
			o.hurry()
		}
	}
}
