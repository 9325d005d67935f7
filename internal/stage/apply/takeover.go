package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// takeover names field managers whose fields become ours before an apply: otherwise a field that
// they set and Git no longer wants would stay for ever (flux-contract 4).
type takeover struct {
	prefix    string
	operation metav1.ManagedFieldsOperationType
}

func takeovers(options Options) []takeover {
	list := []takeover{
		{"kubectl", metav1.ManagedFieldsOperationApply},
		{"kubectl", metav1.ManagedFieldsOperationUpdate},
		{"before-first-apply", metav1.ManagedFieldsOperationUpdate},
		{options.Manager, metav1.ManagedFieldsOperationUpdate},
	}
	for _, manager := range options.TakeOver {
		list = append(list,
			takeover{manager, metav1.ManagedFieldsOperationApply}, takeover{manager, metav1.ManagedFieldsOperationUpdate})
	}
	return list
}

// leftovers are annotations and labels of earlier tools that an apply removes.
var leftovers = map[string][]string{
	"annotations": {"kubectl.kubernetes.io/last-applied-configuration", "kustomize.toolkit.fluxcd.io/checksum", "fluxcd.io/sync-checksum"},
	"labels":      {"fluxcd.io/sync-gc-mark"},
}

func (a *Applier) replaces(entry metav1.ManagedFieldsEntry) bool {
	if entry.Subresource != "" {
		return false
	}
	for _, other := range a.takeovers {
		if entry.Operation == other.operation && strings.HasPrefix(entry.Manager, other.prefix) {
			return true
		}
	}
	return false
}

// foreign tells whether a live object has fields or metadata of managers that we replace.
func (a *Applier) foreign(live *unstructured.Unstructured) bool {
	for _, entry := range live.GetManagedFields() {
		if a.replaces(entry) {
			return true
		}
	}
	return len(removals(live)) > 0
}

// operation is one step of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

func removals(live *unstructured.Unstructured) []operation {
	present := map[string]map[string]string{"annotations": live.GetAnnotations(), "labels": live.GetLabels()}
	var steps []operation
	for _, field := range []string{"annotations", "labels"} {
		for _, key := range leftovers[field] {
			if _, found := present[field][key]; found {
				steps = append(steps, operation{Op: "remove", Path: "/metadata/" + field + "/" + escape(key)})
			}
		}
	}
	return steps
}

// escape writes a key as a JSON pointer token (RFC 6901).
func escape(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }

// takeOver makes the fields of replaced managers ours, on the live object as it is now. The patch
// names the version that it was made for, so that a change in between is not undone by it.
func (r *run) takeOver(ctx context.Context, p *plan) error {
	live, err := r.Cluster.Get(ctx, p.wanted.Ref)
	if err != nil {
		return r.refusal(p.wanted.Ref, "read failed", err)
	}
	steps := removals(live)
	entries, changed, err := r.merged(live.GetManagedFields())
	if err != nil {
		return fmt.Errorf("%s taking over fields: %w", p.wanted.Ref, err)
	}
	if changed {
		steps = append(steps, operation{Op: "replace", Path: "/metadata/managedFields", Value: entries})
	}
	if len(steps) == 0 {
		return nil
	}
	steps = append(steps, operation{Op: "replace", Path: "/metadata/resourceVersion", Value: live.GetResourceVersion()})
	body, err := json.Marshal(steps)
	if err != nil {
		return fmt.Errorf("%s taking over fields: %w", p.wanted.Ref, err)
	}
	if _, err := r.Cluster.Patch(ctx, p.wanted.Ref, types.JSONPatchType, body, r.options.Manager); err != nil {
		return r.refusal(p.wanted.Ref, "taking over fields failed", err)
	}
	return nil
}

// merged moves the field sets of replaced managers into our own entry.
func (a *Applier) merged(entries []metav1.ManagedFieldsEntry) ([]metav1.ManagedFieldsEntry, bool, error) {
	own := metav1.ManagedFieldsEntry{Manager: a.options.Manager, Operation: metav1.ManagedFieldsOperationApply, FieldsType: "FieldsV1"}
	fields := &fieldpath.Set{}
	var others []metav1.ManagedFieldsEntry
	changed := false
	for _, entry := range entries {
		mine := entry.Manager == a.options.Manager && entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == ""
		if !mine && !a.replaces(entry) {
			others = append(others, entry)
			continue
		}
		changed = changed || !mine
		if mine || own.APIVersion == "" {
			own.APIVersion, own.Time = entry.APIVersion, entry.Time
		}
		if entry.FieldsV1 == nil {
			continue
		}
		var set fieldpath.Set
		if err := set.FromJSON(entry.FieldsV1.GetRawReader()); err != nil {
			return nil, false, err
		}
		fields = fields.Union(&set)
	}
	raw, err := fields.ToJSON()
	if err != nil {
		return nil, false, err
	}
	own.FieldsV1 = metav1.NewFieldsV1(string(raw))
	return append(others, own), changed, nil
}
