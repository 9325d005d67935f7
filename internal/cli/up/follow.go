package up

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// standing is how one unit or source stands.
type standing struct {
	kind     string
	name     types.NamespacedName
	verdict  metav1.ConditionStatus // of Ready
	reason   string
	message  string
	revision string
	objects  int
	current  bool // the verdict is about the resource as it is now
	unit     bool
	source   types.NamespacedName
	offered  string // revision of a source's artifact
}

// follow reports on all units and sources. With Once it ends when all of them stand, or with an
// error when they do not within the time; otherwise when ctx ends.
func follow(ctx context.Context, config *rest.Config, o Options, say *summary) error {
	scheme := runtime.NewScheme()
	if err := errors.Join(kustomizev1.AddToScheme(scheme), sourcev1.AddToScheme(scheme)); err != nil {
		return err
	}
	api, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	if o.Once {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Timeout)
		defer cancel()
	}
	events := make(chan watch.Event)
	for _, list := range []client.ObjectList{&sourcev1.GitRepositoryList{}, &kustomizev1.KustomizationList{}} {
		go pump(ctx, api, list, events)
	}
	seen := map[string]standing{}
	quiet := time.NewTimer(time.Hour)
	for {
		select {
		case <-ctx.Done():
			if o.Once && errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("not everything is ready after %s: %s", o.Timeout, unready(seen))
			}
			return nil
		case event := <-events:
			now, ok := standingOf(event.Object)
			if !ok {
				continue
			}
			key := now.kind + "/" + now.name.String()
			if event.Type == watch.Deleted {
				delete(seen, key)
				say.gone(now)
			} else {
				say.changed(seen[key], now)
				seen[key] = now
			}
			quiet.Reset(settleTime)
		case <-quiet.C:
			if len(unreadyList(seen)) > 0 {
				continue
			}
			say.allReady(seen)
			if o.Once {
				return nil
			}
		}
	}
}

// settleTime is how long nothing may change before the summary: a root that is ready has just
// created units that are not known yet.
const settleTime = 400 * time.Millisecond

// pump sends the events of one kind. A watch that ends is begun again.
func pump(ctx context.Context, api client.WithWatch, list client.ObjectList, into chan<- watch.Event) {
	for ctx.Err() == nil {
		watcher, err := api.Watch(ctx, list)
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		for event := range watcher.ResultChan() {
			select {
			case into <- event:
			case <-ctx.Done():
			}
		}
		watcher.Stop()
	}
}

// standingOf reads a unit or a source.
func standingOf(o runtime.Object) (standing, bool) {
	var now standing
	var conditions []metav1.Condition
	switch resource := o.(type) {
	case *kustomizev1.Kustomization:
		now = standing{kind: "unit", unit: true, name: client.ObjectKeyFromObject(resource), revision: resource.Status.LastAppliedRevision}
		now.current = resource.Generation == resource.Status.ObservedGeneration || resource.Spec.Suspend
		now.source = types.NamespacedName{Namespace: resource.Spec.SourceRef.Namespace, Name: resource.Spec.SourceRef.Name}
		if now.source.Namespace == "" {
			now.source.Namespace = resource.Namespace
		}
		if resource.Status.Inventory != nil {
			now.objects = len(resource.Status.Inventory.Entries)
		}
		conditions = resource.Status.Conditions
	case *sourcev1.GitRepository:
		now = standing{kind: "source", name: client.ObjectKeyFromObject(resource)}
		now.current = resource.Generation == resource.Status.ObservedGeneration || resource.Spec.Suspend
		if artifact := resource.Status.Artifact; artifact != nil {
			now.revision, now.offered = artifact.Revision, artifact.Revision
		}
		conditions = resource.Status.Conditions
	default:
		return now, false
	}
	if ready := apimeta.FindStatusCondition(conditions, "Ready"); ready != nil {
		now.verdict, now.reason, now.message = ready.Status, ready.Reason, ready.Message
	}
	return now, true
}

// unreadyList names what does not stand yet. A unit stands when it is ready on what its source offers.
func unreadyList(seen map[string]standing) []string {
	var names []string
	units := 0
	for key, one := range seen {
		fine := one.current && one.verdict == metav1.ConditionTrue
		if one.unit {
			units++
			if source, known := seen["source/"+one.source.String()]; known && source.offered != one.revision {
				fine = false
			}
		}
		if !fine {
			names = append(names, key)
		}
	}
	if units == 0 {
		names = append(names, "no unit was found")
	}
	sort.Strings(names)
	return names
}

func unready(seen map[string]standing) string {
	text := ""
	for i, name := range unreadyList(seen) {
		if i > 0 {
			text += "; "
		}
		text += name
		if one, found := seen[name]; found && one.message != "" {
			text += " (" + shortest(one.message) + ")"
		}
	}
	return text
}

// shortest keeps the first line of a message, and says that there are more.
func shortest(message string) string {
	first, rest, _ := strings.Cut(strings.TrimSpace(message), "\n")
	if rest != "" {
		first += fmt.Sprintf(" … and %d more lines", strings.Count(rest, "\n")+1)
	}
	return first
}
