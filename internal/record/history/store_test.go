package history_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/record/history"
)

// shelf makes a store in a namespace of the test's own.
func shelf(t *testing.T, namespace string) *history.Store {
	t.Helper()
	cluster, err := kube.Connect("", clustertest.Start(t), kube.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return history.New(cluster, namespace, "Kustomization")
}

func secretsIn(t *testing.T, namespace string) []corev1.Secret {
	t.Helper()
	client, err := kubernetes.NewForConfig(clustertest.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// objects makes ConfigMaps with so many random bytes each, which nothing can compress.
func objects(t *testing.T, count, size int) []object.Object {
	t.Helper()
	made := make([]object.Object, count)
	for i := range made {
		noise := make([]byte, size/2)
		if _, err := rand.Read(noise); err != nil {
			t.Fatal(err)
		}
		one, err := object.New(&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{"name": fmt.Sprintf("one-%d", i), "namespace": "x", "annotations": map[string]any{"a": "<&> \u2028"}},
			"data":     map[string]any{"noise": hex.EncodeToString(noise), "number": "1e3"},
		}}, fmt.Sprintf("apps/%d.yaml", i))
		if err != nil {
			t.Fatal(err)
		}
		made[i] = one
	}
	return made
}

func TestStoreKeeps(t *testing.T) {
	cases := map[string]struct {
		why         string
		count, size int
		wantSecrets int
	}{
		"Nothing": {why: "a rejected release has no objects", wantSecrets: 1},
		"Few":     {why: "one Secret is enough for most", count: 3, size: 100, wantSecrets: 1},
		"Large":   {why: "what is too large for one Secret is in several", count: 20, size: 200 << 10, wantSecrets: 3},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			namespace := clustertest.Namespace(t)
			unit := object.Owner{Namespace: "shop", Name: strings.Repeat("a-long-name-", 20) + "x"}
			want := objects(t, tc.count, tc.size)
			one := release.Release{
				Number: 1, Fingerprint: "sha256:f", Verdict: release.Pending, Begun: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
				Label: release.Label{Revision: "main@sha1:abc", Author: "Jane <jane@example.org>"}, Baseline: []object.Ref{{Kind: "Pod", Name: "p"}},
			}
			store := shelf(t, namespace)
			if err := store.Add(ctx, unit, one, want); err != nil {
				t.Fatal(err)
			}
			one.Verdict, one.Ended = release.Good, one.Begun.Add(time.Minute)
			if err := store.Change(ctx, unit, one); err != nil {
				t.Fatal(err)
			}
			// Another replica, or the same one after a restart, finds the very same.
			other := shelf(t, namespace)
			book, err := other.Book(ctx, unit)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(release.Book{one}, book); diff != "" {
				t.Errorf("%s: the book (-want +got):\n%s", tc.why, diff)
			}
			got, err := other.Objects(ctx, unit, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Fatalf("%s: %d objects, want %d", tc.why, len(got), len(want))
			}
			for i := range want {
				if !bytes.Equal(want[i].JSON, got[i].JSON) || want[i].Digest != got[i].Digest || want[i].Source != got[i].Source || want[i].Ref != got[i].Ref {
					t.Fatalf("%s: object %d is another one", tc.why, i)
				}
			}
			found := 0
			for _, secret := range secretsIn(t, namespace) {
				if string(secret.Type) == history.SecretType {
					found++
				}
			}
			if found != tc.wantSecrets {
				t.Errorf("%s: %d Secrets, want %d", tc.why, found, tc.wantSecrets)
			}
			if err := other.Drop(ctx, unit); err != nil {
				t.Fatal(err)
			}
			if left := secretsIn(t, namespace); len(left) > 0 {
				t.Errorf("%s: %d Secrets outlive their unit", tc.why, len(left))
			}
		})
	}
}

// TestStoreForgets: the last ten releases stay, and the last good one however old it is.
func TestStoreForgets(t *testing.T) {
	ctx := context.Background()
	namespace := clustertest.Namespace(t)
	unit := object.Owner{Namespace: "shop", Name: "apps"}
	store := shelf(t, namespace)
	for number := int64(1); number <= 15; number++ {
		one := release.Release{Number: number, Verdict: release.Failed}
		if number == 2 {
			one.Verdict = release.Good
		}
		if err := store.Add(ctx, unit, one, objects(t, 1, 10)); err != nil {
			t.Fatal(err)
		}
	}
	book, err := shelf(t, namespace).Book(ctx, unit)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int64
	for _, one := range book {
		numbers = append(numbers, one.Number)
	}
	if diff := cmp.Diff([]int64{15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 2}, numbers); diff != "" {
		t.Errorf("the kept releases (-want +got):\n%s", diff)
	}
	if _, err := store.Objects(ctx, unit, 2); err != nil {
		t.Errorf("the last good release cannot be gone back to: %v", err)
	}
	if _, err := store.Objects(ctx, unit, 3); err == nil {
		t.Error("a release that is not kept any more is found")
	}
}

// TestStoreReplaces: what an attempt that was cut short has left is no obstacle, and damage is told
// without the content.
func TestStoreReplaces(t *testing.T) {
	ctx := context.Background()
	namespace := clustertest.Namespace(t)
	unit := object.Owner{Namespace: "shop", Name: "apps"}
	want := objects(t, 2, 10)
	for range 2 { // two processes that know nothing of each other
		if err := shelf(t, namespace).Add(ctx, unit, release.Release{Number: 1, Verdict: release.Pending}, want); err != nil {
			t.Fatal(err)
		}
	}
	store := shelf(t, namespace)
	if got, err := store.Objects(ctx, unit, 1); err != nil || len(got) != 2 {
		t.Fatalf("%d objects, %v", len(got), err)
	}
	client, err := kubernetes.NewForConfig(clustertest.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	secret := secretsIn(t, namespace)[0]
	secret.Data["objects"] = append([]byte("not compressed: "), want[0].JSON...)
	if _, err := client.CoreV1().Secrets(namespace).Update(ctx, &secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = store.Objects(ctx, unit, 1)
	if err == nil || !strings.Contains(err.Error(), "release 1 of shop/apps") || strings.Contains(err.Error(), "noise") {
		t.Errorf("damage is told as %v", err)
	}
}

// TestStoreMakesItsNamespace: the first release does not need anybody to have made it.
func TestStoreMakesItsNamespace(t *testing.T) {
	namespace := clustertest.Namespace(t) + "-system"
	store := shelf(t, namespace)
	unit := object.Owner{Namespace: "shop", Name: "apps"}
	if err := store.Add(t.Context(), unit, release.Release{Number: 1}, nil); err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(clustertest.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.CoreV1().Namespaces().Delete(t.Context(), namespace, metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}
