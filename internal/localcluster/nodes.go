package localcluster

import (
	"context"
	"fmt"
	"io"
	"runtime"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/kwok/pkg/client/clientset/versioned"
	"sigs.k8s.io/kwok/pkg/kwok/controllers"
	kwoklog "sigs.k8s.io/kwok/pkg/log"
	kwokclient "sigs.k8s.io/kwok/pkg/utils/client"

	"holdfast.dev/holdfast/internal/localcluster/simulate"
)

const (
	podRange    = "10.128.0.0/9" // addresses of simulated Pods
	nodeRole    = "node-role.kubernetes.io/simulated"
	parallelism = 8 // status writes of Pods at a time
)

// createNodes makes the simulated nodes that are missing. Nodes of a former start with more of them
// stay: workloads may be on them.
func createNodes(ctx context.Context, client kubernetes.Interface, count int) error {
	for i := range count {
		_, err := client.CoreV1().Nodes().Create(ctx, simulatedNode(i+1), metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating node %d: %w", i+1, err)
		}
	}
	return nil
}

func simulatedNode(number int) *corev1.Node {
	name := fmt.Sprintf("node-%d", number)
	room := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("64"),
		corev1.ResourceMemory:           resource.MustParse("256Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1Ti"),
		corev1.ResourcePods:             resource.MustParse("10k"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{"kwok.x-k8s.io/node": "fake"},
			Labels: map[string]string{
				corev1.LabelHostname:   name,
				corev1.LabelOSStable:   "linux",
				corev1.LabelArchStable: runtime.GOARCH,
				nodeRole:               "",
			},
		},
		Status: corev1.NodeStatus{
			Capacity:    room,
			Allocatable: room,
			NodeInfo: corev1.NodeSystemInfo{
				KubeletVersion:          KubernetesVersion(),
				ContainerRuntimeVersion: "simulated://kwok",
				OperatingSystem:         "linux",
				Architecture:            runtime.GOARCH,
				OSImage:                 "simulated",
				KernelVersion:           "simulated",
			},
		},
	}
}

// simulateNodes plays the kubelet of every node until ctx ends: nodes become ready, Pods run and
// those of Jobs complete, deleted Pods go away.
func simulateNodes(ctx context.Context, f folder, config *rest.Config, log io.Writer) error {
	stages, err := simulate.Stages()
	if err != nil {
		return err
	}
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	kwok, err := versioned.NewForConfig(config)
	if err != nil {
		return err
	}
	set, err := kwokclient.NewClientset("", f.componentConfig("nodes"))
	if err != nil {
		return err
	}
	dynamic, err := set.ToDynamicClient()
	if err != nil {
		return err
	}
	mapper, err := set.ToRESTMapper()
	if err != nil {
		return err
	}
	controller, err := controllers.NewController(controllers.Config{
		Clock:                      clock.RealClock{},
		DynamicClient:              dynamic,
		RESTClient:                 typed.RESTClient(),
		RESTMapper:                 mapper,
		ImpersonatingDynamicClient: set.ToImpersonatingDynamicClient(),
		ImpersonatingTypedClient:   set.ToImpersonatingTypedClient(),
		TypedClient:                typed,
		TypedKwokClient:            kwok,
		ManageAllNodes:             true,
		CIDR:                       podRange,
		NodeIP:                     "192.0.2.10", // never dialled: there is no kubelet
		LocalStages:                stages,
		PodPlayStageParallelism:    parallelism,
		NodePlayStageParallelism:   2,
		PodsOnNodeSyncParallelism:  2,
		ID:                         "holdfast",
	})
	if err != nil {
		return err
	}
	return controller.Start(kwoklog.NewContext(ctx, kwoklog.NewLogger(log, kwoklog.LevelWarn)))
}
