package scripts_test

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/record/history"
)

// keepRelease keeps a release of a Kustomization as the controller would: state is what is known of it,
// as YAML, and objects are what it consists of.
func keepRelease(config *rest.Config, namespace, unit, state, objects string) error {
	var one release.Release
	if err := yaml.Unmarshal([]byte(state), &one); err != nil {
		return err
	}
	one.Begun = time.Now().Add(-time.Hour)
	one.Decided, one.Ended = one.Begun, one.Begun
	decoded, err := decode(objects)
	if err != nil {
		return err
	}
	var set []object.Object
	for _, u := range decoded {
		u.SetNamespace(namespace)
		made, err := object.New(u, "")
		if err != nil {
			return err
		}
		set = append(set, made)
	}
	cluster, err := kube.Connect("", config, kube.Options{})
	if err != nil {
		return err
	}
	if err := history.New(cluster, namespace, "Kustomization").Add(context.Background(), object.Owner{Namespace: namespace, Name: unit}, one, set); err != nil {
		return fmt.Errorf("keeping release %d: %w", one.Number, err)
	}
	return nil
}
