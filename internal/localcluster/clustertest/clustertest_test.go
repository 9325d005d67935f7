package clustertest_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"holdfast.dev/holdfast/internal/localcluster/clustertest"
)

func TestTestsShareAClusterAndHaveTheirOwnNamespaces(t *testing.T) {
	client, err := kubernetes.NewForConfig(clustertest.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	one, two := clustertest.Namespace(t), clustertest.Namespace(t)
	if one == two {
		t.Fatalf("both namespaces are %s", one)
	}
	ctx := context.Background()
	if _, err := client.CoreV1().ConfigMaps(one).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "mine"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().ConfigMaps(two).Get(ctx, "mine", metav1.GetOptions{}); err == nil {
		t.Error("an object of one namespace shows in the other")
	}
	again, err := kubernetes.NewForConfig(clustertest.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.CoreV1().ConfigMaps(one).Get(ctx, "mine", metav1.GetOptions{}); err != nil {
		t.Errorf("a second start reaches another cluster: %v", err)
	}
}
