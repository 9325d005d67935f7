package simulate

import (
	"fmt"

	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/apis/v1alpha1"
	"sigs.k8s.io/yaml"
)

// Stages are the life cycles of nodes and Pods: those that KWOK brings along for Pods that do well, and
// ours for the others.
func Stages() (map[internalversion.StageResourceRef][]*internalversion.Stage, error) {
	var list []*v1alpha1.Stage
	for _, text := range []string{
		nodefast.DefaultNodeInit, podfast.DefaultPodReady, podfast.DefaultPodComplete, podfast.DefaultPodDelete,
	} {
		stage := &v1alpha1.Stage{}
		if err := yaml.Unmarshal([]byte(text), stage); err != nil {
			return nil, fmt.Errorf("reading a stage: %w", err)
		}
		list = append(list, stage)
	}
	ready, complete := list[1], list[2]
	slow := ready.DeepCopy()
	slow.Name = "pod-slow"
	slow.Spec.Selector.MatchExpressions = append(slow.Spec.Selector.MatchExpressions, when(plan, in, planSlow))
	slow.Spec.Delay = delayFrom(slowness)
	ready.Spec.Selector.MatchExpressions = append(ready.Spec.Selector.MatchExpressions, when(plan, notIn, append(plansToFail(), planSlow)...))
	complete.Spec.Selector.MatchExpressions = append(complete.Spec.Selector.MatchExpressions, when(plan, notIn, plansToFail()...))
	list = append(list, slow)
	list = append(list, failing()...)

	stages := map[internalversion.StageResourceRef][]*internalversion.Stage{}
	for _, stage := range list {
		v1alpha1.SetObjectDefaults_Stage(stage)
		internal, err := internalversion.ConvertToInternalStage(stage)
		if err != nil {
			return nil, fmt.Errorf("reading stage %s: %w", stage.Name, err)
		}
		stages[internal.Spec.ResourceRef] = append(stages[internal.Spec.ResourceRef], internal)
	}
	return stages, nil
}
