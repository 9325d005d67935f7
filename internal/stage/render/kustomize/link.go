package kustomize

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

// The kinds whose references take over a namespace along with a name, and the kinds that they refer
// to (kustomize's default nameReference configuration: all paths that end in a map).
var (
	followers = map[string]bool{
		"RoleBinding": true, "ClusterRoleBinding": true,
		"MutatingWebhookConfiguration": true, "ValidatingWebhookConfiguration": true,
	}
	followed = map[string]bool{"ServiceAccount": true, "Service": true}
)

// names finds sources by the names of their objects.
type names map[uint64][]*source

func (x names) add(name string, s *source) {
	hash := manifest.HashName(name)
	x[hash] = appendNew(x[hash], s)
}

// link finds out which sources must be built together, and completes their keys.
func (p *plan) link() {
	generated, accounts := names{}, names{}
	for _, s := range p.sources {
		for _, object := range s.objects {
			if object.hashed {
				generated.add(object.name, s)
			}
			if followed[object.kind] {
				for _, past := range object.past {
					accounts.add(past.name, s)
				}
			}
		}
	}
	if len(generated) > 0 {
		p.addNamesakes(generated)
	}
	for _, s := range p.sources {
		if s.follows() {
			s.lookUp(accounts)
		}
		if len(generated) > 0 && s.node.generator != s {
			s.lookUp(generated)
		}
		s.complete()
	}
}

// addNamesakes adds the objects that a mention of a generator's name could mean instead.
func (p *plan) addNamesakes(generated names) {
	for _, s := range p.sources {
		for _, object := range s.objects {
			if object.kind != "ConfigMap" && object.kind != "Secret" {
				continue
			}
			if hash := manifest.HashName(object.name); generated[hash] != nil {
				generated[hash] = appendNew(generated[hash], s)
			}
		}
	}
}

func (s *source) follows() bool {
	return slices.ContainsFunc(s.objects, func(object *placed) bool { return followers[object.kind] })
}

// lookUp supports a source with whatever it mentions.
func (s *source) lookUp(found names) {
	for _, mentions := range s.mentions {
		for _, mention := range mentions {
			for _, other := range found[mention] {
				s.lean(other)
			}
		}
	}
}

func (s *source) lean(other *source) {
	if other != s {
		s.support = appendNew(s.support, other)
	}
}

// complete makes the key of a source from its own base and those of its support.
func (s *source) complete() {
	if len(s.support) == 0 {
		s.key = s.base
		return
	}
	bases := make([]digest, len(s.support))
	for i, other := range s.support {
		bases[i] = other.base
	}
	slices.SortFunc(bases, func(a, b digest) int { return bytes.Compare(a[:], b[:]) })
	sum := sha256.New()
	_, _ = sum.Write(s.base[:])
	for _, base := range bases {
		_, _ = sum.Write(base[:])
	}
	sum.Sum(s.key[:0])
}
