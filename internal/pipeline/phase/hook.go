package phase

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"holdfast.dev/holdfast/internal/model/object"
)

// Moment is when hooks run.
type Moment string

// The moments, in Helm's words.
const (
	PreInstall   Moment = "pre-install"
	PostInstall  Moment = "post-install"
	PreUpgrade   Moment = "pre-upgrade"
	PostUpgrade  Moment = "post-upgrade"
	PreRollback  Moment = "pre-rollback"
	PostRollback Moment = "post-rollback"
	PreDelete    Moment = "pre-delete"
	PostDelete   Moment = "post-delete"
	Test         Moment = "test"
)

// The annotations of hooks.
const (
	Annotation       = "helm.sh/hook"
	annotationWeight = "helm.sh/hook-weight"
	annotationDelete = "helm.sh/hook-delete-policy"
)

// Hook is an object that runs at certain moments.
type Hook struct {
	object.Object
	Moments []Moment
	Weight  int
	// Before deletes what a former run left before the hook runs; Succeeded and Failed delete the object
	// after it ran.
	Before, Succeeded, Failed bool
}

// Of reads an object as a hook, and false where it is none. An object whose mark names no moment that
// there is runs never, as with Helm.
func Of(one object.Object) (Hook, bool) {
	var content struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if json.Unmarshal(one.JSON, &content) != nil {
		return Hook{}, false
	}
	annotations := content.Metadata.Annotations
	marks, found := annotations[Annotation]
	if !found {
		return Hook{}, false
	}
	hook := Hook{Object: one}
	for _, mark := range words(marks) {
		if mark == "test-success" { // what Helm 2 called it
			mark = string(Test)
		}
		hook.Moments = append(hook.Moments, Moment(mark))
	}
	hook.Weight, _ = strconv.Atoi(strings.TrimSpace(annotations[annotationWeight]))
	for _, policy := range words(annotations[annotationDelete]) {
		switch policy {
		case "before-hook-creation":
			hook.Before = true
		case "hook-succeeded":
			hook.Succeeded = true
		case "hook-failed":
			hook.Failed = true
		}
	}
	if !hook.Before && !hook.Succeeded && !hook.Failed {
		hook.Before = true
	}
	if one.Kind == "CustomResourceDefinition" { // deleting one deletes all objects of its kind
		hook.Before, hook.Succeeded, hook.Failed = false, false, false
	}
	return hook, true
}

// words splits a list, which has no case and may have spaces.
func words(list string) []string {
	var found []string
	for _, word := range strings.Split(list, ",") {
		if word = strings.ToLower(strings.TrimSpace(word)); word != "" {
			found = append(found, word)
		}
	}
	return found
}

// At returns the hooks among objects that run at a moment, in their order: by weight, then by name.
func At(moment Moment, objects []object.Object) []Hook {
	var hooks []Hook
	for _, one := range objects {
		if hook, found := Of(one); found && slices.Contains(hook.Moments, moment) {
			hooks = append(hooks, hook)
		}
	}
	slices.SortStableFunc(hooks, func(a, b Hook) int {
		return cmp.Or(cmp.Compare(a.Weight, b.Weight), cmp.Compare(a.Name, b.Name), object.CompareApply(a.Ref, b.Ref))
	})
	return hooks
}
