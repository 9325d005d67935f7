package kustomize

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/api/types"

	"holdfast.dev/holdfast/internal/stage/render/confine"
	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

// textFacts returns the facts of a patch that stands in a kustomization.
func (p *planner) textFacts(text string) (*manifest.Facts, string) {
	hash := manifest.HashBytes([]byte(text))
	if known, found := p.builder.library.Get(hash); found {
		return known, hash
	}
	known := manifest.Read([]byte(text), p.builder.limits)
	p.builder.library.Put(hash, known)
	return known, hash
}

// patchFacts returns the facts of a patch that stands in a kustomization or in a file.
func (p *planner) patchFacts(n *node, text, name string) (*manifest.Facts, string, error) {
	text = strings.TrimSpace(text)
	switch {
	case text != "" && name != "" || text == "" && name == "":
		return nil, "", whole("patch in %s has a path and a text, or neither", n.file)
	case text != "":
		known, hash := p.textFacts(text)
		return known, hash, nil
	}
	full, err := p.resolve(n.dir, name)
	if err != nil {
		return nil, "", err
	}
	hash := p.files.Hash(full)
	if hash == confine.Absent {
		return nil, "", whole("patch %s is not there", full)
	}
	known, err := p.builder.factsOf(p.files, full, hash)
	return known, hash, err
}

// digestShared splits a kustomization into what it does to all objects, and what must find its
// object.
func (p *planner) digestShared(n *node) error {
	rest := n.kust
	rest.Resources, rest.Components, rest.ConfigMapGenerator, rest.SecretGenerator = nil, nil, nil, nil
	rest.GeneratorOptions, rest.Patches, rest.PatchesStrategicMerge, rest.Replicas = nil, nil, nil, nil
	raw, err := json.Marshal(rest)
	if err != nil {
		return err
	}
	sum := sha256.New()
	write(sum, string(raw))
	for _, component := range n.components {
		// Objects that do not pass through a component still fail with it.
		_, _ = sum.Write(component.shared[:])
	}
	shared, selecting := map[uint64]bool{}, 0
	for i, patch := range n.kust.Patches {
		known, hash, err := p.patchFacts(n, patch.Patch, patch.Path)
		if err != nil {
			return err
		}
		// The order among patches with a target is in the digest; that of others against them is here.
		if err := p.addPatch(n, i, patch, known, hash+"@"+strconv.Itoa(selecting)); err != nil {
			return err
		}
		if patch.Target != nil {
			selecting++
			selector, err := json.Marshal(patch.Target)
			if err != nil {
				return err
			}
			write(sum, hash, string(selector))
			noteAll(shared, known)
		}
	}
	for _, patch := range n.kust.PatchesJson6902 {
		known, hash, err := p.patchFacts(n, patch.Patch, patch.Path)
		if err != nil {
			return err
		}
		if known.Operations == nil || known.Operations.TouchIdentity || patch.Target == nil {
			return whole("patchesJson6902 in %s", n.file)
		}
		write(sum, hash)
		noteAll(shared, known)
	}
	n.mentions = slices.Sorted(maps.Keys(shared))
	sum.Sum(n.shared[:0])
	return p.addLegacy(n)
}

func noteAll(into map[uint64]bool, known *manifest.Facts) {
	for _, doc := range known.Docs {
		for _, mention := range doc.Mentions {
			into[mention] = true
		}
	}
	if known.Operations != nil {
		for _, mention := range known.Operations.Mentions {
			into[mention] = true
		}
	}
}

// addPatch checks a patch and, where it has no target, notes what it must find.
func (p *planner) addPatch(n *node, index int, patch types.Patch, known *manifest.Facts, hash string) error {
	if patch.Options != nil && (patch.Options.AllowNameChange || patch.Options.AllowKindChange) {
		return whole("a patch in %s may change names", n.file)
	}
	if known.Err != nil {
		if known.Operations == nil || known.Operations.TouchIdentity || patch.Target == nil {
			return whole("a patch in %s may change names, or is none", n.file)
		}
		return nil
	}
	if patch.Target != nil {
		if countObjects(known) != 1 {
			return whole("a patch in %s has several documents and a target", n.file)
		}
		return nil
	}
	return n.addTargeted(fieldPatches, index, known, hash)
}

func countObjects(known *manifest.Facts) int {
	count := 0
	for _, doc := range known.Docs {
		count += len(doc.Objects)
	}
	return count
}

// The fields whose entries must find objects.
const (
	fieldPatches  = "patches"
	fieldLegacy   = "patchesStrategicMerge"
	fieldReplicas = "replicas"
)

func (n *node) addTargeted(field string, index int, known *manifest.Facts, hash string) error {
	entry := &targeted{field: field, index: index, digest: sha256.Sum256([]byte(field + hash))}
	mentions := map[uint64]bool{}
	noteAll(mentions, known)
	entry.mentions = slices.Sorted(maps.Keys(mentions))
	for _, doc := range known.Docs {
		for _, object := range doc.Objects {
			entry.wants = append(entry.wants, identify(object))
		}
	}
	if len(entry.wants) == 0 {
		return whole("%s of %s has an empty entry", field, n.file)
	}
	n.entries = append(n.entries, entry)
	return nil
}

// addLegacy notes what strategic merge patches in the old field and replica counts must find.
func (p *planner) addLegacy(n *node) error {
	for i, patch := range n.kust.PatchesStrategicMerge {
		known, hash := p.textFacts(string(patch))
		if known.Err != nil { // it is no patch, so it is the path of one
			var err error
			if known, hash, err = p.patchFacts(n, "", string(patch)); err != nil {
				return err
			}
		}
		if known.Err != nil {
			return whole("patchesStrategicMerge in %s", n.file)
		}
		if err := n.addTargeted(fieldLegacy, i, known, hash); err != nil {
			return err
		}
	}
	for i, replica := range n.kust.Replicas {
		n.entries = append(n.entries, &targeted{
			field: fieldReplicas, index: i, wants: []objectFact{{name: replica.Name}},
			digest: sha256.Sum256([]byte(fieldReplicas + replica.Name + "=" + strconv.FormatInt(replica.Count, 10))),
		})
	}
	return nil
}
