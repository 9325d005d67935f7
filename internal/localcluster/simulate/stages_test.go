package simulate

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/utils/lifecycle"
)

func podStages(t testing.TB) []*internalversion.Stage {
	t.Helper()
	stages, err := Stages()
	if err != nil {
		t.Fatal(err)
	}
	return stages[internalversion.StageResourceRef{APIGroup: "v1", Kind: "Pod"}]
}

func pod(image string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	p.Spec.RestartPolicy = corev1.RestartPolicyAlways
	p.Spec.Containers = []corev1.Container{{Name: "main", Image: image}}
	p.Status.Phase = corev1.PodPending
	if change != nil {
		change(p)
	}
	return p
}

func waitsFor(reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: reason},
		}}}
	}
}

func runs(p *corev1.Pod) {
	p.Status.Phase = corev1.PodRunning
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{
		Running: &corev1.ContainerStateRunning{},
	}}}
}

func both(changes ...func(*corev1.Pod)) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for _, change := range changes {
			change(p)
		}
	}
}

func annotated(value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Annotations = map[string]string{Annotation: value} }
}

func ofJob(p *corev1.Pod) {
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	p.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: "j"}}
}

// TestNextStage: each state of a Pod has one stage that may follow, or none.
func TestNextStage(t *testing.T) {
	const good = "example.org/app:1"
	tests := map[string]struct {
		why  string
		pod  *corev1.Pod
		want string
	}{
		"Good":           {"as KWOK plays it", pod(good, nil), "pod-ready"},
		"GoodRuns":       {"nothing more to do", pod(good, runs), ""},
		"GoodJob":        {"as KWOK plays it", pod(good, both(ofJob, runs)), "pod-complete"},
		"SimilarName":    {"the tag counts, not the name", pod("example.org/does-not-exist:1", nil), "pod-ready"},
		"Absent":         {"the tag asks for it", pod("example.org/app:does-not-exist", nil), "pod-pull"},
		"AbsentDigest":   {"a digest changes nothing", pod("example.org/app:does-not-exist@sha256:00", nil), "pod-pull"},
		"AbsentTried":    {"once more", pod("example.org/app:does-not-exist", waitsFor("ErrImagePull")), "pod-pull-again"},
		"AbsentAgain":    {"it stays so", pod("example.org/app:does-not-exist", waitsFor("ImagePullBackOff")), ""},
		"Unreachable":    {"the registry asks for it", pod("registry.invalid/app:1", nil), "pod-pull"},
		"Crash":          {"it starts", pod("example.org/app:crash-loop", nil), "pod-begin"},
		"CrashRuns":      {"and ends", pod("example.org/app:crash-loop", runs), "pod-crash"},
		"CrashWaits":     {"and starts again", pod("example.org/app:crash-loop", both(runs, waitsFor("CrashLoopBackOff"))), "pod-restart"},
		"CrashOfJob":     {"and does not complete", pod("example.org/app:crash-loop", both(ofJob, runs)), "pod-crash"},
		"NeverReady":     {"it starts", pod("example.org/app:never-ready", nil), "pod-begin"},
		"NeverReadyRuns": {"it stays so", pod("example.org/app:never-ready", runs), ""},
		"Fails":          {"it starts", pod("example.org/app:fails", ofJob), "pod-begin"},
		"FailsRuns":      {"and ends", pod("example.org/app:fails", both(ofJob, runs)), "pod-fail"},
		"FailsRestarts":  {"its policy says so", pod("example.org/app:fails", runs), "pod-crash"},
		"Annotated":      {"for any image", pod(good, annotated("image-pull")), "pod-pull"},
		"Overruled":      {"the annotation wins", pod("example.org/app:does-not-exist", annotated("never-ready")), "pod-begin"},
		"Slow":           {"later", pod(good, annotated("slow=30s")), "pod-slow"},
		"SlowJob":        {"it does well", pod(good, both(ofJob, runs, annotated("slow=30s"))), "pod-complete"},
		"Misspelt":       {"what we do not know changes nothing", pod(good, annotated("explode")), "pod-ready"},
		"Deleted": {"it goes, whatever it was", pod("example.org/app:crash-loop", both(runs, func(p *corev1.Pod) {
			p.DeletionTimestamp = &metav1.Time{}
		})), ""},
	}
	cycle, err := lifecycle.NewLifecycle(podStages(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.pod.DeletionTimestamp != nil {
				test.pod.DeletionTimestamp.Time = metav1.Now().Time
				test.want = "pod-delete"
			}
			stage, err := cycle.Match(t.Context(), &lifecycle.Event{Annotations: test.pod.Annotations, Data: test.pod})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if stage != nil {
				got = stage.Name()
			}
			if got != test.want {
				t.Errorf("got %q, want %q: %s", got, test.want, test.why)
			}
		})
	}
}

// BenchmarkMatch is what it costs to find the stage of a Pod that does well: with KWOK's own stages
// alone, and with ours.
func BenchmarkMatch(b *testing.B) {
	ours, theirs := podStages(b), podStages(b)[:3]
	for _, stage := range theirs[:2] { // without what we added
		expressions := stage.Spec.Selector.MatchExpressions
		stage.Spec.Selector.MatchExpressions = expressions[:len(expressions)-1]
	}
	for name, stages := range map[string][]*internalversion.Stage{"KWOK": theirs, "Ours": ours} {
		b.Run(name, func(b *testing.B) {
			cycle, err := lifecycle.NewLifecycle(stages)
			if err != nil {
				b.Fatal(err)
			}
			fresh, up := pod("example.org/app:1", nil), pod("example.org/app:1", runs)
			for b.Loop() {
				for _, p := range []*corev1.Pod{fresh, up} {
					if _, err := cycle.Match(b.Context(), &lifecycle.Event{Data: p}); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
