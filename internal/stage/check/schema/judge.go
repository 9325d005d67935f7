package schema

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/check/position"
	"holdfast.dev/holdfast/internal/stage/check/schema/builtin"
)

// Options steer a Judge. The zero value is the right default.
type Options struct {
	// Version is the minor version of Kubernetes that sets without a cluster are judged by; empty is the
	// newest one that is built in.
	Version string
}

// Judge judges objects by schemas. It is safe for concurrent use.
type Judge struct {
	library *builtin.Library
	version string

	lock sync.Mutex
	// catalogs are by version of Kubernetes; documents by cluster, group and version; definitions by
	// digest. The last two are dropped when there are very many of them.
	catalogs    map[string]*catalog
	documents   map[place]*served
	definitions map[object.Digest]map[schema.GroupVersionKind]*kindSchema
	passed      map[object.Owner]map[object.Ref]pass
}

// place is where a document comes from.
type place struct {
	cluster *kube.Schemas
	gv      schema.GroupVersion
}

type served struct {
	name    string
	catalog *catalog
}

// pass is what an object passed by.
type pass struct {
	digest object.Digest
	schema *kindSchema
}

const (
	// stale is how old the list of a cluster's schemas may be. Where an object does not pass, a newer one
	// is asked for.
	stale = 30 * time.Second
	// many is how many documents, definitions or units are remembered.
	many = 5000
)

// New makes a Judge.
func New(options Options) (*Judge, error) {
	if options.Version == "" {
		options.Version = builtin.Latest()
	}
	j := &Judge{
		library: builtin.New(), version: options.Version, catalogs: map[string]*catalog{}, documents: map[place]*served{},
		definitions: map[object.Digest]map[schema.GroupVersionKind]*kindSchema{}, passed: map[object.Owner]map[object.Ref]pass{},
	}
	_, err := j.library.Load(options.Version)
	return j, err
}

var _ check.Judge = (*Judge)(nil)

// Judge implements check.Judge.
func (j *Judge) Judge(ctx context.Context, set check.Set) ([]finding.Finding, error) {
	look := &look{Judge: j, set: set, began: time.Now(), brought: j.brought(set), before: j.recall(set.Unit), now: map[object.Ref]pass{}}
	var err error
	if look.meta, err = j.metadata(); err != nil {
		return nil, err
	}
	for _, one := range set.Objects {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := look.at(ctx, one); err != nil {
			return nil, err
		}
	}
	j.remember(set.Unit, look.now)
	return append(look.found, look.unjudged()...), nil
}

// look is one look at one set.
type look struct {
	*Judge
	set     check.Set
	began   time.Time
	brought map[schema.GroupVersionKind]*kindSchema
	before  map[object.Ref]pass
	now     map[object.Ref]pass
	meta    *node
	found   []finding.Finding
	unknown map[string]bool
}

// at judges an object, unless it has passed as it is.
func (l *look) at(ctx context.Context, one object.Object) error {
	if one.Rules.Skipped() {
		return nil
	}
	kind, since := l.brought[one.GVK()], l.began.Add(-stale)
	if kind == nil {
		var err error
		if kind, err = l.find(ctx, l.set.Cluster, one.GVK(), since); err != nil {
			return err
		}
	}
	if kind == nil {
		if l.unknown == nil {
			l.unknown = map[string]bool{}
		}
		l.unknown[one.GVK().GroupVersion().String()+" "+one.Kind] = true
		return nil
	}
	if l.before[one.Ref] == (pass{one.Digest, kind}) && len(one.Dropped) == 0 {
		l.now[one.Ref] = pass{one.Digest, kind}
		return nil
	}
	found, err := l.judge(ctx, one, kind)
	if err != nil {
		return err
	}
	if l.set.Cluster == nil {
		found = append(found, definitionProblems(ctx, one)...)
	}
	if len(found) > 0 && kind.foreign && l.brought[one.GVK()] == nil && l.set.Cluster != nil {
		// The cluster may know better by now: definitions change.
		newer, err := l.find(ctx, l.set.Cluster, one.GVK(), l.began)
		if err == nil && newer != nil && newer != kind {
			kind = newer
			if found, err = l.judge(ctx, one, kind); err != nil {
				return err
			}
		}
	}
	if len(found) == 0 {
		l.now[one.Ref] = pass{one.Digest, kind}
	}
	l.found = append(l.found, found...)
	return nil
}

// judge judges an object by a schema.
func (l *look) judge(ctx context.Context, one object.Object, kind *kindSchema) ([]finding.Finding, error) {
	var content map[string]any
	if err := utiljson.Unmarshal(one.JSON, &content); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", one.Ref, err)
	}
	if !kind.foreign {
		delete(content, "status") // the server drops it from what is written; of other kinds, it may be a field like any
	}
	v := &verdict{meta: l.meta, standins: l.set.Placeholders}
	v.names(one.Ref)
	v.look(content, kind.root)
	for _, path := range one.Dropped {
		v.dropped(path, kind.root)
	}
	if len(v.found) == 0 && kind.foreign && len(v.standins) == 0 {
		rules, err := kind.rules()
		if err == nil {
			rules.judge(ctx, content, v)
		}
	}
	for i := range v.found {
		v.found[i].Ref = one.Ref
	}
	return v.found, nil
}

// dropped says of a field that the normal form has no room for that the kind has none, if so.
func (v *verdict) dropped(path string, root *node) {
	steps := position.Steps(path)
	if len(steps) > 0 && steps[0] == "metadata" {
		root, steps = v.meta, steps[1:]
	}
	if len(steps) == 0 {
		return
	}
	holder, ok := root.at(steps[:len(steps)-1])
	if !ok || holder == nil {
		return
	}
	name := steps[len(steps)-1]
	if _, known := holder.known(name); !known && !(len(steps) == 1 && wellKnown(name)) {
		v.path = nil
		v.say(RuleUnknownField, "", "the kind has no such field", suggestion(holder.nearest(name)))
		if len(v.found) > 0 {
			v.found[len(v.found)-1].Path = path
		}
	}
}

// unjudged remarks on kinds without a schema, where nobody else is going to judge.
func (l *look) unjudged() []finding.Finding {
	if l.set.Cluster != nil {
		return nil
	}
	var found []finding.Finding
	for kind := range l.unknown {
		found = append(found, finding.Finding{
			Rule: RuleUnknownKind, Severity: finding.Info,
			Message: "objects of " + kind + " are not judged, since no schema of theirs is known",
			Advice:  "put the kind's definition into the tree, or check with --server",
		})
	}
	return found
}

// brought returns the kinds that definitions in the set and around it bring.
func (j *Judge) brought(set check.Set) map[schema.GroupVersionKind]*kindSchema {
	var found map[schema.GroupVersionKind]*kindSchema
	for _, objects := range [][]object.Object{set.Others, set.Objects} {
		for _, one := range objects {
			if one.Kind != "CustomResourceDefinition" || one.Group != "apiextensions.k8s.io" {
				continue
			}
			if found == nil {
				found = map[schema.GroupVersionKind]*kindSchema{}
			}
			for gvk, kind := range j.defined(one) {
				found[gvk] = kind
			}
		}
	}
	return found
}

func (j *Judge) defined(one object.Object) map[schema.GroupVersionKind]*kindSchema {
	j.lock.Lock()
	defer j.lock.Unlock()
	known, found := j.definitions[one.Digest]
	if !found {
		if len(j.definitions) > many {
			clear(j.definitions)
		}
		known = ofDefinition(one)
		j.definitions[one.Digest] = known
	}
	return known
}

// find returns the schema of a kind that is served: by the built-in schemas of the cluster's own version, or
// by what the cluster says, as it was listed since a time. Nil is not known.
func (j *Judge) find(ctx context.Context, cluster *kube.Cluster, gvk schema.GroupVersionKind, since time.Time) (*kindSchema, error) {
	if cluster == nil {
		return j.builtin(j.version, gvk)
	}
	version, err := cluster.Schemas().Version(ctx)
	if err == nil && slices.Contains(builtin.Versions(), version) {
		if kind, err := j.builtin(version, gvk); kind != nil || err != nil {
			return kind, err
		}
	}
	document, found, err := cluster.Schemas().Find(ctx, gvk.GroupVersion(), since)
	if err != nil || !found {
		return nil, ctx.Err() // the server judges again
	}
	return j.document(place{cluster.Schemas(), gvk.GroupVersion()}, document, gvk)
}

func (j *Judge) builtin(version string, gvk schema.GroupVersionKind) (*kindSchema, error) {
	catalog, err := j.catalog(version)
	if err != nil {
		return nil, err
	}
	return catalog.find(gvk)
}

func (j *Judge) catalog(version string) (*catalog, error) {
	j.lock.Lock()
	defer j.lock.Unlock()
	if known, found := j.catalogs[version]; found {
		return known, nil
	}
	from, err := j.library.Load(version)
	if err != nil {
		return nil, err
	}
	j.catalogs[version] = ofBuiltin(from)
	return j.catalogs[version], nil
}

func (j *Judge) metadata() (*node, error) {
	catalog, err := j.catalog(j.version)
	if err != nil {
		return nil, err
	}
	return catalog.metadata()
}

// document reads a document of a cluster, unless that was done already.
func (j *Judge) document(from place, document kube.Document, gvk schema.GroupVersionKind) (*kindSchema, error) {
	j.lock.Lock()
	known := j.documents[from]
	j.lock.Unlock()
	if known == nil || known.name != document.Name {
		raw, err := document.Read()
		if err != nil {
			return nil, nil //nolint:nilnil,nilerr // the server judges again
		}
		read, err := ofDocument(raw, j.isBuiltin(gvk.Group))
		if err != nil {
			return nil, nil //nolint:nilnil,nilerr // as above
		}
		known = &served{document.Name, read}
		j.lock.Lock()
		if len(j.documents) > many {
			clear(j.documents)
		}
		j.documents[from] = known
		j.lock.Unlock()
	}
	return known.catalog.find(gvk)
}

// isBuiltin tells whether a group is one of Kubernetes' own, whose kinds are types of Go.
func (j *Judge) isBuiltin(group string) bool {
	from, err := j.library.Load(j.version)
	return err == nil && from.Serves(group)
}

func (j *Judge) recall(unit object.Owner) map[object.Ref]pass {
	j.lock.Lock()
	defer j.lock.Unlock()
	return j.passed[unit]
}

// remember keeps what passed of a unit. A unit keeps no more than it has.
func (j *Judge) remember(unit object.Owner, passed map[object.Ref]pass) {
	j.lock.Lock()
	defer j.lock.Unlock()
	if len(j.passed) > many {
		clear(j.passed)
	}
	j.passed[unit] = passed
}
