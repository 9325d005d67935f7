package kustomize

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render/confine"
	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

// Built is one resource as kustomize left it. It is immutable, and a later build that has the same
// resource gives the same pointer.
type Built struct {
	YAML   []byte
	Source string // file that it came from, where that is known
	// Sure says that Source is known, and not the likeliest of several files.
	Sure bool
	// Labels and Annotations are those of the resource. The caller must not modify them.
	Labels, Annotations map[string]string
	// Kind and Name are the resource's, for messages.
	Kind, Name string
}

// ErrNoPath says that the directory to build is not in the tree.
var ErrNoPath = errors.New("path not found")

// Builder builds. It is safe for concurrent use.
type Builder struct {
	limits  manifest.Limits
	library *manifest.Library
	batch   int // objects that one run of kustomize builds
}

// NewBuilder returns a Builder that keeps up to libraryBytes of what it learned about files.
func NewBuilder(limits manifest.Limits, libraryBytes int64) *Builder {
	return &Builder{limits: limits.WithDefaults(), library: manifest.NewLibrary(libraryBytes), batch: batchObjects}
}

// Result is what a build produced, and what the next build of the same unit can go on from.
type Result struct {
	Objects  []*Built
	Trace    *confine.Trace
	Progress *Progress
	// Revealed are the values that this build decrypted, also where it failed.
	Revealed []redact.Text
}

// Full builds a whole directory with one run of kustomize. The trace is returned with an error, too.
func (b *Builder) Full(ctx context.Context, t tree.Tree, spec Spec) (Result, error) {
	f := confine.Open(ctx, t, b.limits)
	f.Unseal(spec.Opener)
	objects, err := b.full(f, spec)
	return Result{Objects: objects, Trace: f.Trace}, err
}

func (b *Builder) full(f *confine.Files, spec Spec) ([]*Built, error) {
	start, err := b.enter(f, spec)
	if err != nil {
		return nil, err
	}
	return b.whole(f, start)
}

// whole runs kustomize on everything.
func (b *Builder) whole(f *confine.Files, start entry) ([]*Built, error) {
	if start.generated {
		if err := b.checkManifests(f, start); err != nil {
			return nil, err
		}
	}
	var err error
	if f.Overlay[start.file], err = yaml.Marshal(start.kust); err != nil {
		return nil, fmt.Errorf("writing %s: %w", start.file, err)
	}
	resources, err := run(f, target{dir: path.Dir(start.file), sorts: start.kust.SortOptions != nil})
	if err != nil {
		return nil, err
	}
	if len(resources) > b.limits.Objects {
		return nil, manifest.TooMany("build yields too many objects", b.limits.Objects)
	}
	built := make([]*Built, len(resources))
	origins := b.origins(f)
	for i, res := range resources {
		if built[i], err = export(res); err != nil {
			return nil, err
		}
		built[i].Source = origins.of(built[i])
	}
	return built, nil
}

// enter checks that the path exists and merges the kustomization to start from.
func (b *Builder) enter(f *confine.Files, spec Spec) (entry, error) {
	dir := tree.Clean(spec.Path)
	if f.Kind(dir) != confine.KindDir {
		return entry{}, fmt.Errorf("%w: %s", ErrNoPath, spec.Path)
	}
	return merged(f, spec, dir)
}

// checkManifests demands that every file of a generated kustomization holds Kubernetes objects, and
// says which does not.
func (b *Builder) checkManifests(f *confine.Files, start entry) error {
	for _, name := range start.kust.Resources {
		full := joinDir(start.file, name)
		hash := f.Hash(full)
		if hash == confine.Absent {
			continue // a directory with a kustomization of its own
		}
		known, err := b.factsOf(f, full, hash)
		if err != nil {
			return err
		}
		if known.Err != nil {
			return fmt.Errorf("%s: %w", full, known.Err)
		}
	}
	return nil
}

// factsOf returns the facts of a file with a hash. An error means that it could not be read; what is wrong with
// its content is part of the facts.
func (b *Builder) factsOf(f *confine.Files, name, hash string) (*manifest.Facts, error) {
	if known, found := b.library.Get(hash); found {
		return known, nil
	}
	if hash == confine.Absent {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	data, err := f.Content(name)
	if err != nil {
		return nil, err
	}
	known := manifest.Read(data, b.limits)
	b.library.Put(hash, known)
	return known, nil
}

// schemaGuard keeps builds that bring an OpenAPI schema of their own apart from all others, because
// kustomize keeps the schema in a variable of the process. Builds without one, which are nearly
// all, do not wait for each other.
var schemaGuard sync.RWMutex //nolint:gochecknoglobals // what it guards is one for the process, too

// target is what kustomize runs on.
type target struct {
	dir   string
	sorts bool // its kustomization asks for an order
}

// run runs kustomize on a directory.
func run(f *confine.Files, at target) ([]*resource.Resource, error) {
	resources, err := runShared(f, at)
	if !errors.Is(err, confine.ErrOwnSchema) {
		return resources, err
	}
	schemaGuard.Lock()
	defer schemaGuard.Unlock()
	openapi.ResetOpenAPI()
	openapi.Schema()
	defer openapi.Schema()
	defer openapi.ResetOpenAPI()
	f.OwnSchema = true
	return krustyRun(f, at)
}

func runShared(f *confine.Files, at target) ([]*resource.Resource, error) {
	schemaGuard.RLock()
	defer schemaGuard.RUnlock()
	openapi.Schema() // parsed here once, so that no build parses it while another one reads it
	resources, err := krustyRun(f, at)
	if f.WantsSchema {
		f.WantsSchema, f.Refused = false, nil
		return nil, confine.ErrOwnSchema
	}
	return resources, err
}

// krustyRun calls kustomize. Some invalid objects make it panic.
func krustyRun(f *confine.Files, at target) (resources []*resource.Resource, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			resources, err = nil, fmt.Errorf("kustomize panicked: %v", cause)
		}
	}()
	options := &krusty.Options{
		Reorder:          krusty.ReorderOptionNone,   // the objects are sorted when all is done
		LoadRestrictions: types.LoadRestrictionsNone, // the tree is the restriction
		PluginConfig:     types.DisabledPluginConfig(),
	}
	if at.sorts {
		options.Reorder = krusty.ReorderOptionUnspecified // kustomize would log that there are two
	}
	built, err := krusty.MakeKustomizer(options).Run(f, confine.Outside(at.dir))
	if ctxErr := f.Ctx.Err(); ctxErr != nil {
		return nil, ctxErr
	}
	if f.Refused != nil {
		return nil, f.Refused
	}
	if err != nil {
		return nil, errors.New(legible(err.Error()))
	}
	return resourcesOf(built), nil
}

func resourcesOf(built resmap.ResMap) []*resource.Resource {
	if built == nil {
		return nil
	}
	return built.Resources()
}

// export turns a resource into text, as Flux does before it substitutes.
func export(res *resource.Resource) (*Built, error) {
	if res.GetName() == "" || res.GetKind() == "" || res.GetApiVersion() == "" {
		return nil, fmt.Errorf("object %s has no apiVersion, kind or metadata.name", res.CurId())
	}
	text, err := res.AsYAML()
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", res.CurId(), err)
	}
	return &Built{
		YAML: text, Labels: res.GetLabels(), Annotations: res.GetAnnotations(),
		Kind: res.GetKind(), Name: res.GetName(),
	}, nil
}
