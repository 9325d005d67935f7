package trouble

import (
	"context"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/kube/stream"
)

// set is a ReplicaSet of a Deployment: the one with the highest revision makes its new Pods.
type set struct {
	at       place
	uid      types.UID
	of       types.UID
	key      Key // of the Deployment
	revision string
	number   int64
}

func lookAtSet(seen metav1.Object) set {
	owner := metav1.GetControllerOf(seen)
	revision := seen.GetAnnotations()[revisionAnnotation]
	number, err := strconv.ParseInt(revision, 10, 64)
	if owner == nil || owner.Kind != deployment || err != nil {
		return set{}
	}
	return set{
		at: place{seen.GetNamespace(), seen.GetName()}, uid: seen.GetUID(), of: owner.UID,
		key: Key{Kind: deployment, Namespace: seen.GetNamespace(), Name: owner.Name}, revision: revision, number: number,
	}
}

func (w *Watcher) openSets(ctx context.Context, current *session) {
	follow(ctx, w, current, intake[set]{look: lookAtSet, put: w.putSet, drop: w.dropSet, replace: w.replaceSets})
}

// spareSets ends the watch of ReplicaSets where no Deployment has a Pod that is ill.
func (w *Watcher) spareSets() {
	for key := range w.sick {
		if key.Kind == deployment {
			return
		}
	}
	w.sets.want(false)
}

func (w *Watcher) putSet(_ place, seen set) []Key {
	if seen.of == "" {
		return nil
	}
	known, found := w.newest[seen.of]
	if found && seen.number < known.number || known == seen {
		return nil
	}
	w.newest[seen.of] = seen
	return w.ifSick(seen.key)
}

func (w *Watcher) dropSet(at place) []Key {
	for of, known := range w.newest {
		if known.at == at {
			delete(w.newest, of)
			return w.ifSick(known.key)
		}
	}
	return nil
}

func (w *Watcher) replaceSets(items []stream.Item[set]) []Key {
	clear(w.newest)
	for _, item := range items {
		w.putSet(place{}, item.Value)
	}
	var keys []Key
	for key := range w.sick {
		if key.Kind == deployment {
			keys = append(keys, key)
		}
	}
	return keys
}

func (w *Watcher) forgetSets() []Key {
	clear(w.newest)
	return nil // the Pods that it was about are well
}

// ifSick returns a workload if Pods of it are ill.
func (w *Watcher) ifSick(key Key) []Key {
	if len(w.sick[key]) == 0 {
		return nil
	}
	return []Key{key}
}
