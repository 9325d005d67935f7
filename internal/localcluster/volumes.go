package localcluster

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	// StorageClass is the default storage class. Its volumes hold nothing, as nothing runs.
	StorageClass = "local"

	volumeProvisioner = "holdfast.dev/simulated-volume"
	provisionerOfPVC  = "volume.kubernetes.io/storage-provisioner" // set by Kubernetes when it is our turn
	provisionedBy     = "pv.kubernetes.io/provisioned-by"
)

// volumes provisions the claims of storage classes that name volumeProvisioner, as an external
// provisioner does: Kubernetes' own controllers ask for a volume and bind it.
type volumes struct {
	client kubernetes.Interface
	claims corelisters.PersistentVolumeClaimLister
	stored corelisters.PersistentVolumeLister
	queue  workqueue.TypedRateLimitingInterface[volumeKey]
}

// volumeKey names a claim, or, with an empty namespace, a volume.
type volumeKey struct{ namespace, name string }

// createStorageClass makes the default storage class, unless the user has changed or replaced it.
func createStorageClass(ctx context.Context, client kubernetes.Interface) error {
	policy, mode, expand := corev1.PersistentVolumeReclaimDelete, storagev1.VolumeBindingImmediate, false
	_, err := client.StorageV1().StorageClasses().Create(ctx, &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name:        StorageClass,
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		Provisioner:          volumeProvisioner,
		ReclaimPolicy:        &policy,
		VolumeBindingMode:    &mode,
		AllowVolumeExpansion: &expand,
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating storage class %s: %w", StorageClass, err)
	}
	return nil
}

// provisionVolumes serves claims until ctx ends.
func provisionVolumes(ctx context.Context, client kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	core := factory.Core().V1()
	v := &volumes{
		client: client,
		claims: core.PersistentVolumeClaims().Lister(),
		stored: core.PersistentVolumes().Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[volumeKey](50*time.Millisecond, 30*time.Second)),
	}
	for _, informer := range []cache.SharedIndexInformer{
		core.PersistentVolumeClaims().Informer(), core.PersistentVolumes().Informer(),
	} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    v.enqueue,
			UpdateFunc: func(_, changed any) { v.enqueue(changed) },
		}); err != nil {
			return fmt.Errorf("watching volumes: %w", err)
		}
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	factory.WaitForCacheSync(ctx.Done())
	go func() {
		<-ctx.Done()
		v.queue.ShutDown()
	}()
	for v.work(ctx) {
	}
	return nil
}

func (v *volumes) enqueue(changed any) {
	if named, ok := changed.(metav1.Object); ok {
		v.queue.Add(volumeKey{named.GetNamespace(), named.GetName()})
	}
}

func (v *volumes) work(ctx context.Context) bool {
	key, stopped := v.queue.Get()
	if stopped {
		return false
	}
	defer v.queue.Done(key)
	serve := v.provision
	if key.namespace == "" {
		serve = v.reclaim
	}
	if err := serve(ctx, key); err != nil && ctx.Err() == nil {
		utilruntime.HandleErrorWithContext(ctx, err, "Serving a simulated volume", "namespace", key.namespace, "name", key.name)
		v.queue.AddRateLimited(key)
		return true
	}
	v.queue.Forget(key)
	return true
}

// provision makes the volume that a claim waits for.
func (v *volumes) provision(ctx context.Context, key volumeKey) error {
	claim, err := v.claims.PersistentVolumeClaims(key.namespace).Get(key.name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if claim.Spec.VolumeName != "" || claim.DeletionTimestamp != nil ||
		claim.Annotations[provisionerOfPVC] != volumeProvisioner || claim.Spec.StorageClassName == nil {
		return nil
	}
	class, err := v.client.StorageV1().StorageClasses().Get(ctx, *claim.Spec.StorageClassName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	_, err = v.client.CoreV1().PersistentVolumes().Create(ctx, volumeFor(claim, class), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// reclaim removes a volume whose claim is gone.
func (v *volumes) reclaim(ctx context.Context, key volumeKey) error {
	volume, err := v.stored.Get(key.name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if volume.Annotations[provisionedBy] != volumeProvisioner || volume.DeletionTimestamp != nil ||
		volume.Status.Phase != corev1.VolumeReleased ||
		volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return nil
	}
	err = v.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, *metav1.NewPreconditionDeleteOptions(string(volume.UID)))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

func volumeFor(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) *corev1.PersistentVolume {
	policy := corev1.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		policy = *class.ReclaimPolicy
	}
	name := "pvc-" + string(claim.UID)
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{provisionedBy: volumeProvisioner},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			VolumeMode:                    claim.Spec.VolumeMode,
			StorageClassName:              class.Name,
			PersistentVolumeReclaimPolicy: policy,
			MountOptions:                  class.MountOptions,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			// No program on a simulated node ever opens this path.
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: "/var/lib/simulated-volumes/" + name},
			},
		},
	}
}
