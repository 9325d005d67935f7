package kustomize

import (
	"crypto/sha256"

	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

// climb follows the objects of a kustomization through it, from the bottom up. A component goes on
// with the objects of its parent, which are passed in.
func (p *planner) climb(n *node, objects []*placed) ([]*placed, error) {
	parts := len(n.own) + len(n.children)
	if len(objects) > 0 {
		parts++
	}
	for _, child := range n.children {
		below, err := p.climb(child, nil)
		if err != nil {
			return nil, err
		}
		objects = append(objects, below...)
	}
	for _, s := range n.own {
		s.base = sha256.Sum256([]byte(s.file + "\x00" + s.hash))
		objects = append(objects, s.objects...)
	}
	if len(objects) > p.builder.limits.Objects {
		return nil, manifest.TooMany("build has too many objects", p.builder.limits.Objects)
	}
	if parts > 1 && !distinct(objects) {
		return nil, whole("%s has an object twice", n.file)
	}
	if n.generator != nil {
		var err error
		if objects, err = n.addGenerated(objects); err != nil {
			return nil, err
		}
	}
	for _, component := range n.components {
		var err error
		if objects, err = p.climb(component, objects); err != nil {
			return nil, err
		}
	}
	return objects, n.transform(objects)
}

func (n *node) addGenerated(objects []*placed) ([]*placed, error) {
	s := n.generator
	s.base = sha256.Sum256([]byte(n.file + "\x00" + s.hash))
	for _, generated := range s.objects {
		for _, other := range objects {
			if other.kind == generated.kind && other.was(generated.objectFact) {
				return nil, whole("%s generates an object that is there", n.file)
			}
		}
		objects = append(objects, generated)
	}
	return objects, nil
}

// transform notes what a kustomization does to the identities of objects.
func (n *node) transform(objects []*placed) error {
	if err := n.findTargets(objects, fieldPatches, fieldLegacy); err != nil {
		return err
	}
	if n.kust.Namespace != "" {
		for _, object := range objects {
			object.moveTo(n.kust.Namespace)
		}
		if !distinct(objects) {
			return whole("%s gives an object the identity of another", n.file)
		}
	}
	if err := n.findTargets(objects, fieldReplicas); err != nil {
		return err
	}
	var last *source
	for _, object := range objects {
		if object.source != last {
			last = object.source
			last.pass(n.shared, n.mentions)
		}
	}
	for _, entry := range n.entries {
		for _, target := range entry.targets {
			target.pass(entry.digest, entry.mentions)
		}
	}
	return nil
}

// pass notes that something is done to a source.
func (s *source) pass(what digest, mentions []uint64) {
	var both [2 * sha256.Size]byte
	copy(both[:], s.base[:])
	copy(both[sha256.Size:], what[:])
	s.base = sha256.Sum256(both[:])
	if len(mentions) > 0 {
		s.mentions = append(s.mentions, mentions)
	}
}

// moveTo does what kustomize's namespace transformer does to an identity.
func (o *placed) moveTo(namespace string) {
	switch {
	case o.kind == "Namespace" && o.group == "" && o.version == "v1":
		o.name = namespace
	case !o.clusterScoped:
		o.namespace = namespace
	default:
		return
	}
	if now := (identity{o.namespace, o.name}); o.past[len(o.past)-1] != now {
		o.past = append(o.past, now)
	}
}

// was tells whether an object has, or had on its way, the identity of another.
func (o *placed) was(other objectFact) bool {
	if o.group != other.group || o.version != other.version || o.kind != other.kind {
		return false
	}
	for _, past := range o.past {
		if past.name == other.name && (o.clusterScoped || effective(past.namespace) == effective(other.namespace)) {
			return true
		}
	}
	return false
}

// effective makes the two ways of saying "default" one.
func effective(namespace string) string {
	if namespace == "" {
		return "default"
	}
	return namespace
}

// full identifies an object among those of a build.
func (o *placed) full() objectFact {
	fact := o.objectFact
	if fact.clusterScoped {
		fact.namespace = ""
	} else {
		fact.namespace = effective(fact.namespace)
	}
	return fact
}

func distinct(objects []*placed) bool {
	seen := make(map[objectFact]struct{}, len(objects))
	for _, object := range objects {
		seen[object.full()] = struct{}{}
	}
	return len(seen) == len(objects)
}

// scaled are the kinds that replica counts are for.
var scaled = map[string]bool{"Deployment": true, "ReplicationController": true, "ReplicaSet": true, "StatefulSet": true}

// findTargets finds the objects that the entries of some fields are for.
func (n *node) findTargets(objects []*placed, fields ...string) error {
	byName := map[string][]*placed{}
	for _, entry := range n.entries {
		if entry.field != fields[0] && entry.field != fields[len(fields)-1] {
			continue
		}
		if len(byName) == 0 {
			byName = indexNames(objects)
		}
		for _, want := range entry.wants {
			found := 0
			for _, object := range byName[want.name] {
				if entry.field == fieldReplicas && scaled[object.kind] || entry.field != fieldReplicas && object.was(want) {
					entry.targets = appendNew(entry.targets, object.source)
					found++
				}
			}
			if found == 0 || found > 1 && entry.field != fieldReplicas {
				return whole("%s of %s has no single target", entry.field, n.file)
			}
		}
	}
	return nil
}

func indexNames(objects []*placed) map[string][]*placed {
	byName := make(map[string][]*placed, len(objects))
	for _, object := range objects {
		last := ""
		for _, past := range object.past {
			if past.name != last {
				last = past.name
				byName[last] = append(byName[last], object)
			}
		}
	}
	return byName
}

func appendNew(sources []*source, s *source) []*source {
	for _, known := range sources {
		if known == s {
			return sources
		}
	}
	return append(sources, s)
}
