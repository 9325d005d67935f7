package pipeline

import (
	"encoding/json"
	"reflect"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// annotationMigration on a Job says that what it does cannot be undone by going back to older objects.
const annotationMigration = "holdfast.dev/migration"

// irreversible tells in which way a set changes another one that cannot be undone: a definition that
// stores objects in another version, or a StatefulSet with other claims, whose volumes were made anew.
func irreversible(before, after []object.Object) string {
	former := map[object.Ref]object.Object{}
	for _, one := range before {
		if one.Kind == "CustomResourceDefinition" || one.Kind == "StatefulSet" {
			former[one.Key()] = one
		}
	}
	for _, one := range after {
		old, found := former[one.Key()]
		if !found || old.Digest == one.Digest {
			continue
		}
		if one.Kind == "CustomResourceDefinition" && storageVersion(old) != storageVersion(one) {
			return one.Ref.String() + " stores its objects in another version"
		}
		if one.Kind == "StatefulSet" && !reflect.DeepEqual(claims(old), claims(one)) {
			return one.Ref.String() + " has other volumeClaimTemplates"
		}
	}
	return ""
}

func storageVersion(definition object.Object) string {
	var content struct {
		Spec struct {
			Versions []struct {
				Name    string `json:"name"`
				Storage bool   `json:"storage"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if json.Unmarshal(definition.JSON, &content) != nil {
		return ""
	}
	for _, version := range content.Spec.Versions {
		if version.Storage {
			return version.Name
		}
	}
	return ""
}

func claims(set object.Object) any {
	var content struct {
		Spec struct {
			Claims any `json:"volumeClaimTemplates"`
		} `json:"spec"`
	}
	if json.Unmarshal(set.JSON, &content) != nil {
		return nil
	}
	return content.Spec.Claims
}

// migrated names a migration among the changed objects that has run to its end.
func migrated(objects []object.Object, changed map[object.Ref]bool, state func(object.Ref) observe.State) string {
	for _, one := range objects {
		if one.Kind != "Job" || changed != nil && !changed[one.Key()] {
			continue
		}
		var content struct {
			Metadata struct {
				Annotations map[string]string `json:"annotations"`
			} `json:"metadata"`
		}
		if json.Unmarshal(one.JSON, &content) != nil || content.Metadata.Annotations[annotationMigration] != "true" {
			continue
		}
		if live := state(one.Ref); live.Health.Status == observe.Current {
			return one.Ref.String() + " is a migration, and complete"
		}
	}
	return ""
}
