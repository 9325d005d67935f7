package schema_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/check/schema"
)

// TestDifferential compares our verdict on generated objects, good ones and bad ones, with that of a real
// API server: what we refuse it must refuse. What it refuses beyond that is code, and counted.
func TestDifferential(t *testing.T) {
	cluster, err := kube.Connect("", clustertest.Start(t), kube.Options{})
	if err != nil {
		t.Fatal(err)
	}
	namespace := clustertest.Namespace(t)
	install(t, cluster)
	one := judge(t)
	var cases []variant
	for _, file := range []string{"kinds.yaml", "custom.yaml"} {
		raw, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, base := range objects(t, strings.TrimSpace(string(raw))) {
			cases = append(cases, variants(t, base, namespace, cluster)...)
		}
	}
	verdicts := make([]disagreement, len(cases))
	var group sync.WaitGroup
	limit := make(chan struct{}, 8)
	for i, tc := range cases {
		limit <- struct{}{}
		group.Go(func() {
			defer func() { <-limit }()
			verdicts[i] = compare(t, one, cluster, tc)
		})
	}
	group.Wait()
	report(t, cases, verdicts)
}

// variant is an object with one thing done to it.
type variant struct {
	what    string
	content map[string]any
}

type disagreement struct {
	ours   []string
	theirs error
}

func install(t *testing.T, cluster *kube.Cluster) {
	t.Helper()
	files, err := filepath.Glob("../../../../config/crd/*_*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no definitions: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range objects(t, strings.TrimPrefix(strings.TrimSpace(string(raw)), "---\n")) {
			if _, err := cluster.Apply(t.Context(), one.Ref, one.JSON, kube.ApplyOptions{Manager: "test"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	cluster.Forget()
}

// variants makes of a good object bad ones: each field with another type, left out, beside one that there is
// not, and each list with an item twice.
func variants(t *testing.T, base object.Object, namespace string, cluster *kube.Cluster) []variant {
	t.Helper()
	var content map[string]any
	err := json.Unmarshal(base.JSON, &content)
	if err != nil {
		t.Fatal(err)
	}
	var mapping kube.Mapping
	eventually.True(t, "the kind is served", func() bool {
		mapping, err = cluster.Map(t.Context(), base.Ref)
		return err == nil
	})
	if mapping.Namespaced {
		content["metadata"].(map[string]any)["namespace"] = namespace
	}
	name := base.Group + "/" + base.Version + "/" + base.Kind
	made := []variant{{name + " as it is", content}}
	add := func(what string, change func(map[string]any)) {
		copied := runtime.DeepCopyJSON(content)
		change(copied)
		made = append(made, variant{name + " " + what, copied})
	}
	walk(content, nil, func(path []string, value any) {
		at := strings.Join(path, ".")
		if path[0] == "apiVersion" || path[0] == "kind" || at == "metadata" || at == "metadata.name" || at == "metadata.namespace" {
			return
		}
		add("with another type at "+at, func(o map[string]any) { put(o, path, another(value)) })
		add("without "+at, func(o map[string]any) { remove(o, path) })
		switch value := value.(type) {
		case map[string]any:
			add("with an unknown field in "+at, func(o map[string]any) { put(o, append(slices.Clone(path), "unheardOf"), "x") })
		case []any:
			if len(value) > 0 {
				add("with an item twice in "+at, func(o map[string]any) {
					put(o, path, append(runtime.DeepCopyJSONValue(value).([]any), runtime.DeepCopyJSONValue(value[0])))
				})
			}
		case string:
			add("with another word at "+at, func(o map[string]any) { put(o, path, "Some-Other_word!") })
			add("with nothing at "+at, func(o map[string]any) { put(o, path, "") })
		}
	})
	return made
}

func walk(value any, path []string, visit func([]string, any)) {
	if len(path) > 0 {
		visit(slices.Clone(path), value)
	}
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			walk(value[name], append(path, name), visit)
		}
	case []any:
		for i, item := range value {
			walk(item, append(path, strconv.Itoa(i)), visit)
		}
	}
}

func another(value any) any {
	switch value.(type) {
	case map[string]any:
		return []any{"x"}
	case []any:
		return map[string]any{"x": "y"}
	case string:
		return map[string]any{"x": "y"}
	default:
		return "a word"
	}
}

// holder follows a path to what holds its last step.
func holder(o map[string]any, path []string) any {
	var at any = o
	for _, step := range path[:len(path)-1] {
		switch holder := at.(type) {
		case map[string]any:
			at = holder[step]
		case []any:
			i, _ := strconv.Atoi(step)
			at = holder[i]
		}
	}
	return at
}

func put(o map[string]any, path []string, value any) {
	last := path[len(path)-1]
	switch holder := holder(o, path).(type) {
	case map[string]any:
		holder[last] = value
	case []any:
		i, _ := strconv.Atoi(last)
		holder[i] = value
	}
}

func remove(o map[string]any, path []string) {
	last := path[len(path)-1]
	switch held := holder(o, path).(type) {
	case map[string]any:
		delete(held, last)
	case []any:
		i, _ := strconv.Atoi(last)
		put(o, path[:len(path)-1], slices.Delete(held, i, i+1))
	}
}

func compare(t *testing.T, one *schema.Judge, cluster *kube.Cluster, tc variant) disagreement {
	made, err := object.New(&unstructured.Unstructured{Object: tc.content}, "")
	if err != nil {
		t.Errorf("%s: %v", tc.what, err)
		return disagreement{}
	}
	found, err := one.Judge(t.Context(), check.Set{Objects: []object.Object{made}, Kinds: one, Cluster: cluster})
	if err != nil {
		t.Errorf("%s: %v", tc.what, err)
	}
	var d disagreement
	for _, one := range found {
		d.ours = append(d.ours, one.String())
	}
	_, d.theirs = cluster.Apply(t.Context(), made.Ref, made.JSON, kube.ApplyOptions{Manager: "test", DryRun: true})
	return d
}

// report fails on what only we refuse, and counts what only the server refuses.
func report(t *testing.T, cases []variant, verdicts []disagreement) {
	t.Helper()
	agree, refused, missed := 0, 0, map[string][]string{}
	for i, d := range verdicts {
		what := cases[i].what
		switch {
		case len(d.ours) > 0 && d.theirs != nil:
			agree, refused = agree+1, refused+1
		case len(d.ours) == 0 && d.theirs == nil:
			agree++
		case len(d.ours) > 0:
			t.Errorf("%s: the server takes it, and we say\n\t%s", what, strings.Join(d.ours, "\n\t"))
		case len(d.ours) == 0:
			kind, _, _ := strings.Cut(what, " ")
			missed[kind] = append(missed[kind], fmt.Sprintf("%s: %s", what, apierrors.ReasonForError(d.theirs)))
			if strings.HasSuffix(what, " as it is") {
				t.Errorf("%s: %v", what, d.theirs)
			}
		}
	}
	left := 0
	for _, kind := range slices.Sorted(maps.Keys(missed)) {
		left += len(missed[kind])
		for _, one := range missed[kind] {
			t.Log("only the server refuses ", one)
		}
	}
	t.Logf("%d objects of %d kinds: %d verdicts agree (%d refused by both), %d are refused by the server alone", len(cases), kindsOf(cases), agree, refused, left)
	if share := float64(agree) / float64(len(cases)); share < 0.8 {
		t.Errorf("only %.2f of the verdicts agree", share)
	}
}

func kindsOf(cases []variant) int {
	kinds := map[string]bool{}
	for _, one := range cases {
		kind, _, _ := strings.Cut(one.what, " ")
		kinds[kind] = true
	}
	return len(kinds)
}
