package localcluster_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/localcluster/simulate"
)

// TestPodsFail: a Pod whose image or annotation asks for a failure fails as a kubelet would have it.
func TestPodsFail(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		why, image, initial, annotation string
		want                            func(*corev1.Pod) string
	}{
		"Absent": {why: "not found", image: "example.org/app:does-not-exist", want: func(p *corev1.Pod) string {
			main := p.Status.ContainerStatuses[0]
			return missing(p.Status.Phase == corev1.PodPending && waits(main, "ImagePullBackOff") && strings.HasSuffix(main.State.Waiting.Message, ": not found"), "%+v", main)
		}},
		"Unreachable": {why: "no such host", image: "registry.invalid/app:1", want: func(p *corev1.Pod) string {
			main := p.Status.ContainerStatuses[0]
			return missing(waits(main, "ImagePullBackOff") && strings.HasSuffix(main.State.Waiting.Message, "no such host"), "%+v", main)
		}},
		"Crash": {why: "one more each time", image: "example.org/app:crash-loop", want: func(p *corev1.Pod) string {
			main := p.Status.ContainerStatuses[0]
			return missing(waits(main, "CrashLoopBackOff") && main.RestartCount == 3 && main.LastTerminationState.Terminated != nil &&
				main.LastTerminationState.Terminated.ExitCode == 1, "%+v", main)
		}},
		"InitCrash": {why: "the others wait for it", image: "example.org/app:1", initial: "example.org/app:crash-loop", want: func(p *corev1.Pod) string {
			first, main := p.Status.InitContainerStatuses[0], p.Status.ContainerStatuses[0]
			return missing(first.RestartCount > 0 && waits(first, "CrashLoopBackOff") && waits(main, "PodInitializing") && p.Status.Phase == corev1.PodPending, "%+v", p.Status)
		}},
		"NeverReady": {why: "it runs, no more", image: "example.org/app:never-ready", want: func(p *corev1.Pod) string {
			main := p.Status.ContainerStatuses[0]
			return missing(p.Status.Phase == corev1.PodRunning && main.State.Running != nil && !main.Ready, "%+v", main)
		}},
		"Annotated": {why: "for any image", image: "example.org/app:1", annotation: "image-pull", want: func(p *corev1.Pod) string {
			return missing(waits(p.Status.ContainerStatuses[0], "ImagePullBackOff"), "%+v", p.Status)
		}},
		"Slow": {why: "later", image: "example.org/app:1", annotation: "slow=1s", want: func(p *corev1.Pod) string {
			return missing(p.Status.ContainerStatuses[0].Ready && p.Status.StartTime.Sub(p.CreationTimestamp.Time).Seconds() >= 1, "%+v", p.Status)
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			template := podTemplate(nil)
			template.Spec.Containers[0].Image = test.image
			if test.initial != "" {
				template.Spec.InitContainers = []corev1.Container{{Name: "first", Image: test.initial}}
			}
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: template.Spec}
			if test.annotation != "" {
				p.Annotations = map[string]string{simulate.Annotation: test.annotation}
			}
			pods := b.client.CoreV1().Pods(b.namespace)
			_, err := pods.Create(b.ctx, p, metav1.CreateOptions{})
			b.must(err)
			b.until(test.why, func() string {
				got, err := pods.Get(b.ctx, "p", metav1.GetOptions{})
				b.must(err)
				if len(got.Status.ContainerStatuses) == 0 {
					return "not begun"
				}
				return test.want(got)
			})
		})
	}
}

func waits(container corev1.ContainerStatus, reason string) bool {
	return container.State.Waiting != nil && container.State.Waiting.Reason == reason
}

// TestFailingWorkloads: what Kubernetes' own controllers make of such Pods.
func TestFailingWorkloads(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	labels := map[string]string{"app": "x"}
	jobs, deployments := b.client.BatchV1().Jobs(b.namespace), b.client.AppsV1().Deployments(b.namespace)
	once, never := podTemplate(labels), int32(0)
	once.Spec.RestartPolicy = corev1.RestartPolicyNever
	once.Spec.Containers[0].Image = "example.org/app:fails"
	_, err := jobs.Create(b.ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "x"}, Spec: batchv1.JobSpec{BackoffLimit: &never, Template: once},
	}, metav1.CreateOptions{})
	b.must(err)
	template := podTemplate(labels)
	template.Spec.Containers[0].Image = "example.org/app:does-not-exist"
	made, err := deployments.Create(b.ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "x"},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}, metav1.CreateOptions{})
	b.must(err)
	b.until("the Job fails", func() string {
		got, err := jobs.Get(b.ctx, "x", metav1.GetOptions{})
		b.must(err)
		return missing(got.Status.Failed == 1 && len(got.Status.Conditions) > 0, "%+v", got.Status)
	})
	b.until("an Event tells of the image", func() string {
		events, err := b.client.CoreV1().Events(b.namespace).List(b.ctx, metav1.ListOptions{FieldSelector: "reason=Failed,involvedObject.kind=Pod"})
		b.must(err)
		return missing(len(events.Items) > 0, "%d Events", len(events.Items))
	})
	made.Spec.Template.Spec.Containers[0].Image = "example.org/app:1"
	made.ResourceVersion = ""
	_, err = deployments.Update(b.ctx, made, metav1.UpdateOptions{})
	b.must(err)
	b.until("a good image mends it, and the bad Pod goes", func() string {
		got, err := deployments.Get(b.ctx, "x", metav1.GetOptions{})
		b.must(err)
		return missing(got.Status.AvailableReplicas == 1 && got.Status.Replicas == 1, "%+v", got.Status)
	})
}
