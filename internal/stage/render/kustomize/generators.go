package kustomize

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"sigs.k8s.io/kustomize/api/types"

	"holdfast.dev/holdfast/internal/stage/render/confine"
)

// addGenerators makes the generators of a kustomization one source.
func (p *planner) addGenerators(n *node) error {
	if len(n.kust.ConfigMapGenerator)+len(n.kust.SecretGenerator) == 0 {
		return nil
	}
	s := &source{node: n}
	sum := sha256.New()
	for _, generator := range n.kust.ConfigMapGenerator {
		if err := p.addGenerator(s, "ConfigMap", generator.GeneratorArgs); err != nil {
			return err
		}
	}
	for _, generator := range n.kust.SecretGenerator {
		if err := p.addGenerator(s, "Secret", generator.GeneratorArgs); err != nil {
			return err
		}
	}
	raw, err := json.Marshal([]any{n.kust.ConfigMapGenerator, n.kust.SecretGenerator, n.kust.GeneratorOptions})
	if err != nil {
		return err
	}
	write(sum, string(raw))
	for _, name := range generatorFiles(&n.kust) {
		full, err := p.resolve(n.dir, name)
		if err != nil {
			return err
		}
		if p.files.Kind(full) != confine.KindFile {
			return whole("%s is not there", full)
		}
		write(sum, p.files.Hash(full))
	}
	s.hash = hex.EncodeToString(sum.Sum(nil))
	n.generator = s
	p.plan.sources = append(p.plan.sources, s)
	return nil
}

func (p *planner) addGenerator(s *source, kind string, args types.GeneratorArgs) error {
	if behaviour := types.NewGenerationBehavior(args.Behavior); behaviour == types.BehaviorMerge || behaviour == types.BehaviorReplace {
		return whole("generator %s changes another object", args.Name)
	}
	options := types.MergeGlobalOptionsIntoLocal(args.Options, s.node.kust.GeneratorOptions)
	object := place(objectFact{version: "v1", kind: kind, namespace: args.Namespace, name: args.Name}, s)
	object.hashed = options == nil || !options.DisableNameSuffixHash
	s.objects = append(s.objects, object)
	return nil
}

func generatorFiles(k *types.Kustomization) []string {
	var names []string
	for _, generator := range k.ConfigMapGenerator {
		names = append(names, confine.PairFiles(generator.KvPairSources)...)
	}
	for _, generator := range k.SecretGenerator {
		names = append(names, confine.PairFiles(generator.KvPairSources)...)
	}
	return names
}
