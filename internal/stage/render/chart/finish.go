package chart

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/fluxcd/pkg/ssa/normalize"
	helmchart "helm.sh/helm/v4/pkg/chart/v2"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	goyaml "sigs.k8s.io/yaml/goyaml.v2"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/render/chart/values"
)

// What Helm puts on the objects of a release, so that its own tools know whose they are.
const (
	keyManagedBy        = "app.kubernetes.io/managed-by"
	managedByHelm       = "Helm"
	keyReleaseName      = "meta.helm.sh/release-name"
	keyReleaseNamespace = "meta.helm.sh/release-namespace"
	keyPolicy           = "helm.sh/resource-policy"
	policyKeep          = "keep"
)

// stored makes the record of a release, without its manifest and hooks. Helm keeps the chart as it was read,
// with what values switched on and off; templates that count are nobody's business but ours.
func stored(in Input, chart *helmchart.Chart) *helmrelease.Release {
	kept := *chart
	kept.Templates, kept.Raw = in.Chart.plain.Templates, nil
	kept.SetDependencies()
	config := in.Values
	if config == nil {
		config = map[string]any{}
	}
	return &helmrelease.Release{
		Name: in.Name, Namespace: in.Namespace, Version: in.Revision,
		Chart: &kept, Config: config, Info: &helmrelease.Info{},
	}
}

// finish makes the output of documents that nothing changes any more.
func finish(in Input, record *helmrelease.Release, documents []document, made executed) (Output, error) {
	out := Output{record: record, LookedUp: made.lookedUp, Revealed: in.Secret, Notes: redact.Out(made.notes, in.Secret)}
	record.Info.Notes = made.notes
	var err error
	if out.ConfigDigest, err = values.Digest(record.Config); err != nil {
		return Output{}, err
	}
	scope := newScope(in.Namespaced)
	if out.CRDs, err = definitions(in, made.crds, scope); err != nil {
		return Output{}, err
	}
	inInstallOrder(documents)
	for _, one := range documents {
		scope.learn(one.object)
	}
	var manifest strings.Builder
	for _, one := range documents {
		text, err := goyaml.Marshal(one.object.Object)
		if err != nil {
			return Output{}, fmt.Errorf("writing an object of %s: %w", one.source, err)
		}
		if !one.isHook() {
			_, _ = fmt.Fprintf(&manifest, "---\n# Source: %s\n%s\n", one.source, text)
			err = out.own(in, one, scope)
		} else {
			err = out.hook(in, one, string(text), scope)
		}
		if err != nil {
			return Output{}, fmt.Errorf("%s: %w", one.source, err)
		}
	}
	out.Manifest, record.Manifest = manifest.String(), manifest.String()
	object.Sort(out.Objects)
	if err := refuseDuplicates(out.Objects); err != nil {
		return Output{}, err
	}
	out.Fingerprint = out.fingerprint()
	return out, nil
}

// own adds an object of the release.
func (o *Output) own(in Input, one document, scope *scope) error {
	u := one.object
	u.SetLabels(with(with(u.GetLabels(), map[string]string{keyManagedBy: managedByHelm}), ownerLabels(in)))
	u.SetAnnotations(with(u.GetAnnotations(), map[string]string{keyReleaseName: in.Name, keyReleaseNamespace: in.Namespace}))
	made, err := ready(u, one.source, in.Namespace, scope)
	if err != nil {
		return err
	}
	if strings.EqualFold(strings.TrimSpace(u.GetAnnotations()[keyPolicy]), policyKeep) {
		made.Rules.PruneDisabled = true
	}
	o.Objects = append(o.Objects, made)
	return nil
}

// ready gives an object its namespace and its normal form.
func ready(u *unstructured.Unstructured, source, namespace string, scope *scope) (object.Object, error) {
	switch namespaced, known := scope.of(u.GroupVersionKind()); {
	case known && !namespaced:
		u.SetNamespace("")
	case known && u.GetNamespace() == "":
		u.SetNamespace(namespace)
	}
	written := u.Object
	if err := normalize.UnstructuredList([]*unstructured.Unstructured{u}); err != nil {
		return object.Object{}, fmt.Errorf("normalising %s: %w", object.RefOf(u), err)
	}
	made, err := object.New(u, source)
	made.Dropped = object.Dropped(written, u.Object)
	return made, err
}

var events = map[string]Event{
	"pre-install": PreInstall, "post-install": PostInstall, "pre-upgrade": PreUpgrade, "post-upgrade": PostUpgrade,
	"pre-rollback": PreRollback, "post-rollback": PostRollback, "pre-delete": PreDelete, "post-delete": PostDelete,
	"test": Test, "test-success": Test,
}

// hook adds a hook. One with an event that Helm does not know is left out, as Helm does it.
func (o *Output) hook(in Input, one document, text string, scope *scope) error {
	annotations := one.object.GetAnnotations()
	hook := Hook{Name: one.object.GetName(), Index: len(o.record.Hooks)}
	for _, name := range words(annotations[helmrelease.HookAnnotation]) {
		event, known := events[name]
		if !known {
			o.Warnings = append(o.Warnings, fmt.Sprintf("%s: %s/%s is left out: Helm knows no hook %q", one.source, one.object.GetKind(), hook.Name, name))
			return nil
		}
		hook.Events = append(hook.Events, event)
	}
	hook.Weight, _ = strconv.Atoi(annotations[helmrelease.HookWeightAnnotation])
	for _, name := range words(annotations[helmrelease.HookDeleteAnnotation]) {
		hook.Delete = append(hook.Delete, helmrelease.HookDeletePolicy(name))
	}
	for _, name := range words(annotations[helmrelease.HookOutputLogAnnotation]) {
		hook.Logs = append(hook.Logs, helmrelease.HookOutputLogPolicy(name))
	}
	o.record.Hooks = append(o.record.Hooks, &helmrelease.Hook{
		Name: hook.Name, Kind: one.object.GetKind(), Path: one.source, Manifest: text,
		Events: hook.Events, Weight: hook.Weight, DeletePolicies: hook.Delete, OutputLogPolicies: hook.Logs,
	})
	if len(hook.Delete) == 0 {
		hook.Delete = []helmrelease.HookDeletePolicy{helmrelease.HookBeforeHookCreation}
	}
	var err error
	hook.Object, err = ready(one.object, one.source, in.Namespace, scope)
	o.Hooks = append(o.Hooks, hook)
	return err
}

// words splits the value of an annotation.
func words(list string) []string {
	if list == "" {
		return nil
	}
	found := strings.Split(list, ",")
	for i, word := range found {
		found[i] = strings.ToLower(strings.TrimSpace(word))
	}
	return found
}

// definitions reads the CRDs in crds/.
func definitions(in Input, files []helmchart.CRD, scope *scope) ([]object.Object, error) {
	var found []object.Object
	for _, file := range files {
		documents, err := split(file.Filename, string(file.File.Data))
		if err != nil {
			return nil, err
		}
		for _, one := range documents {
			scope.learn(one.object)
			if in.CRDs == Skip {
				continue
			}
			one.object.SetLabels(with(one.object.GetLabels(), ownerLabels(in)))
			made, err := ready(one.object, one.source, in.Namespace, scope)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", one.source, err)
			}
			if in.CRDs != CreateReplace {
				made.Rules.IfNotPresent = true
			}
			found = append(found, made)
		}
	}
	return found, nil
}

// refuseDuplicates demands that sorted objects are all different objects of a cluster.
func refuseDuplicates(objects []object.Object) error {
	for i := 1; i < len(objects); i++ {
		if a, b := objects[i-1], objects[i]; a.Key() == b.Key() {
			return fmt.Errorf("object %s is there twice: in %s and in %s", a.Ref, a.Source, b.Source)
		}
	}
	return nil
}

func (o *Output) fingerprint() string {
	sum := sha256.New()
	add := func(part string, one object.Object) {
		for _, text := range []string{part, one.Group, one.Version, one.Kind, one.Namespace, one.Name} {
			_, _ = io.WriteString(sum, text)
			_, _ = sum.Write([]byte{0})
		}
		_, _ = sum.Write(one.Digest[:])
	}
	for _, one := range o.CRDs {
		add("crd", one)
	}
	for _, one := range o.Objects {
		add("object", one)
	}
	for _, one := range o.Hooks {
		add("hook", one.Object)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// bytes is about how much memory an output takes, without the chart.
func (o *Output) bytes() int64 {
	const each = 1 << 10
	total := int64(2*len(o.Manifest) + len(o.Notes) + each)
	for _, set := range [][]object.Object{o.CRDs, o.Objects} {
		for _, one := range set {
			total += each + int64(len(one.JSON))
		}
	}
	for _, one := range o.Hooks {
		total += each + 2*int64(len(one.Object.JSON))
	}
	return total
}
