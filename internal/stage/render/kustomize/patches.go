package kustomize

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

// operations are what is worth knowing of a JSON 6902 patch.
type operations struct {
	touchIdentity bool // it may change what an object is called
	mentions      []uint64
}

// operationsOf reads a JSON 6902 patch; it is nil where data is none.
func operationsOf(data []byte, limits Limits) *operations {
	raw, err := yaml.YAMLToJSON(data)
	if err != nil {
		return nil
	}
	var list []struct{ Op, Path, From string }
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil
	}
	found := &operations{mentions: mentionsOf(data, limits)}
	for _, one := range list {
		found.touchIdentity = found.touchIdentity || touchesIdentity(one.Path) || one.Op == "move" && touchesIdentity(one.From)
	}
	return found
}

// touchesIdentity tells whether a JSON pointer is at, above or below a part of an object's identity.
func touchesIdentity(pointer string) bool {
	if pointer == "" || pointer == "/" {
		return true
	}
	return slices.ContainsFunc([]string{"/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"}, func(part string) bool {
		return pointer == part || strings.HasPrefix(part, pointer+"/") || strings.HasPrefix(pointer, part+"/")
	})
}

// mentionsOf notes all short strings of YAML text.
func mentionsOf(text []byte, limits Limits) []uint64 {
	mentions := map[uint64]bool{}
	decoder := kyaml.NewDecoder(bytes.NewReader(text))
	for {
		var document kyaml.Node
		if err := decoder.Decode(&document); err != nil {
			break
		}
		if err := noteMentions(&document, mentions, limits.Depth); err != nil {
			break
		}
	}
	return slices.Sorted(maps.Keys(mentions))
}

// textFacts returns the facts of a patch that stands in a kustomization.
func (p *planner) textFacts(text string) (*facts, string) {
	hash := hashBytes([]byte(text))
	if known, found := p.builder.library.get(hash); found {
		return known, hash
	}
	known := factsOf([]byte(text), p.builder.limits)
	p.builder.library.put(hash, known)
	return known, hash
}

// patchFacts returns the facts of a patch that stands in a kustomization or in a file.
func (p *planner) patchFacts(n *node, text, name string) (*facts, string, error) {
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
	if p.files.kind(full) != kindFile {
		return nil, "", whole("patch %s is not there", full)
	}
	known, err := p.builder.factsOf(p.files, full)
	return known, p.files.hash(full), err
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
		if known.operations == nil || known.operations.touchIdentity || patch.Target == nil {
			return whole("patchesJson6902 in %s", n.file)
		}
		write(sum, hash)
		noteAll(shared, known)
	}
	n.mentions = slices.Sorted(maps.Keys(shared))
	sum.Sum(n.shared[:0])
	return p.addLegacy(n)
}

func noteAll(into map[uint64]bool, known *facts) {
	for _, doc := range known.docs {
		for _, mention := range doc.mentions {
			into[mention] = true
		}
	}
	if known.operations != nil {
		for _, mention := range known.operations.mentions {
			into[mention] = true
		}
	}
}

// addPatch checks a patch and, where it has no target, notes what it must find.
func (p *planner) addPatch(n *node, index int, patch types.Patch, known *facts, hash string) error {
	if patch.Options != nil && (patch.Options.AllowNameChange || patch.Options.AllowKindChange) {
		return whole("a patch in %s may change names", n.file)
	}
	if known.err != nil {
		if known.operations == nil || known.operations.touchIdentity || patch.Target == nil {
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

func countObjects(known *facts) int {
	count := 0
	for _, doc := range known.docs {
		count += len(doc.objects)
	}
	return count
}

// The fields whose entries must find objects.
const (
	fieldPatches  = "patches"
	fieldLegacy   = "patchesStrategicMerge"
	fieldReplicas = "replicas"
)

func (n *node) addTargeted(field string, index int, known *facts, hash string) error {
	entry := &targeted{field: field, index: index, digest: sha256.Sum256([]byte(field + hash))}
	mentions := map[uint64]bool{}
	noteAll(mentions, known)
	entry.mentions = slices.Sorted(maps.Keys(mentions))
	for _, doc := range known.docs {
		entry.wants = append(entry.wants, doc.objects...)
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
		if known.err != nil { // it is no patch, so it is the path of one
			var err error
			if known, hash, err = p.patchFacts(n, "", string(patch)); err != nil {
				return err
			}
		}
		if known.err != nil {
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
