package gitrepository

import (
	"context"
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"holdfast.dev/holdfast/internal/controller/source"
)

// includedBy is the index of objects by what they include.
const includedBy = "spec.include"

// Setup adds a Controller to the manager. The manager's scheme must know the kinds of sources.
func Setup(mgr ctrl.Manager, deps Deps, options source.Options) (*Controller, error) {
	c := newController(deps)
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &sourcev1.GitRepository{}, includedBy, includes); err != nil {
		return nil, fmt.Errorf("indexing GitRepository: %w", err)
	}
	return c, c.loop.Register(mgr, options, func(registration *builder.Builder) *builder.Builder {
		return registration.Watches(&sourcev1.GitRepository{}, handler.EnqueueRequestsFromMapFunc(c.includers),
			builder.WithPredicates(predicate.Funcs{CreateFunc: hasArtifact, UpdateFunc: artifactChanged}))
	})
}

// artifactChanged tells whether others that include the object have to look at it again.
func artifactChanged(e event.UpdateEvent) bool {
	before, isBefore := e.ObjectOld.(*sourcev1.GitRepository)
	after, isAfter := e.ObjectNew.(*sourcev1.GitRepository)
	if !isBefore || !isAfter || after.Status.Artifact == nil {
		return false
	}
	return before.Status.Artifact == nil || !sameArtifact(before.Status.Artifact, after.Status.Artifact)
}

func hasArtifact(e event.CreateEvent) bool {
	object, isSource := e.Object.(*sourcev1.GitRepository)
	return isSource && object.Status.Artifact != nil && !e.IsInInitialList
}

// includes lists what an object includes.
func includes(object client.Object) []string {
	repository, isSource := object.(*sourcev1.GitRepository)
	if !isSource {
		return nil
	}
	var names []string
	for _, include := range repository.Spec.Include {
		names = append(names, include.GitRepositoryRef.Name)
	}
	return names
}

// includers finds the objects that include the given one.
func (c *Controller) includers(ctx context.Context, object client.Object) []reconcile.Request {
	var list sourcev1.GitRepositoryList
	err := c.Client.List(ctx, &list, client.InNamespace(object.GetNamespace()), client.MatchingFields{includedBy: object.GetName()})
	if err != nil {
		log.FromContext(ctx).Error(err, "listing who includes a source", "source", object.GetName())
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}
