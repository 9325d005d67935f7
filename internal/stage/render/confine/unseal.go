package confine

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/kustomize/api/types"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/model/sealed"
	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

// Opener opens what SOPS encrypted, with the keys of one unit.
//
// Keys identifies the keys: openers with the same open the same. An error of Open tells what to do, and
// holds neither keys nor values; one with a method Passing() bool that returns true says nothing of the
// box, which may open another time. Open is safe for concurrent use.
type Opener interface {
	Keys() string
	Open(ctx context.Context, box sealed.Box) (sealed.Plain, error)
}

// Passing tells whether an error says nothing of the files.
func Passing(err error) bool {
	var passing interface{ Passing() bool }
	return errors.As(err, &passing) && passing.Passing()
}

// role is what a kustomization uses a file for, as far as it may be decrypted for that.
type role struct {
	out  sealed.Format
	same bool // out is the format that the file has
}

// unsealer decrypts files for one build, each once. What it decrypted lives as long as the build.
type unsealer struct {
	opener Opener
	limits manifest.Limits

	lock     sync.Mutex
	roles    map[string]role
	opened   map[string]opened
	revealed []redact.Text
}

type opened struct {
	data []byte
	err  error
}

// Unseal makes the build decrypt the files that generators and patches name. Files of resources are
// decrypted as objects when the build is done: until then kustomize does not get to see their values.
func (f *Files) Unseal(opener Opener) {
	if opener != nil {
		f.unsealer = &unsealer{opener: opener, limits: f.limits, roles: map[string]role{}, opened: map[string]opened{}}
	}
}

// Revealed returns the values that the build decrypted.
func (f *Files) Revealed() []redact.Text {
	if f.unsealer == nil {
		return nil
	}
	f.unsealer.lock.Lock()
	defer f.unsealer.lock.Unlock()
	return slices.Clone(f.unsealer.revealed)
}

// Assign takes note of what a kustomization in a directory uses files for. It comes before the files are
// read. A file that is used for several things is decrypted for the first.
func (f *Files) Assign(dir string, k *types.Kustomization) {
	if f.unsealer == nil {
		return
	}
	for _, generator := range k.ConfigMapGenerator {
		f.assignPairs(dir, generator.KvPairSources)
	}
	for _, generator := range k.SecretGenerator {
		f.assignPairs(dir, generator.KvPairSources)
	}
	for _, patches := range [][]types.Patch{k.Patches, k.PatchesJson6902} {
		for _, patch := range patches {
			f.assign(dir, patch.Path, role{same: true})
		}
	}
	for _, patch := range k.PatchesStrategicMerge {
		if !strings.Contains(string(patch), "\n") {
			f.assign(dir, string(patch), role{same: true})
		}
	}
}

func (f *Files) assignPairs(dir string, sources types.KvPairSources) {
	for _, pair := range sources.FileSources {
		key, file, keyed := strings.Cut(pair, "=")
		if !keyed {
			file = key
		}
		f.assign(dir, file, role{out: sealed.FormatOf(key)})
	}
	for _, file := range append(slices.Clone(sources.EnvSources), sources.EnvSource) {
		f.assign(dir, file, role{out: sealed.EnvFormatOf(file)})
	}
}

func (f *Files) assign(dir, name string, as role) {
	if name == "" || path.IsAbs(name) || FetchesURL(name) {
		return
	}
	full, err := Inside(path.Join(Outside(dir), name))
	if err != nil {
		return // the build refuses it
	}
	f.unsealer.lock.Lock()
	defer f.unsealer.lock.Unlock()
	if _, known := f.unsealer.roles[full]; !known {
		f.unsealer.roles[full] = as
	}
}

// roleOf returns what a file is used for.
func (u *unsealer) roleOf(name string) (role, bool) {
	if u == nil {
		return role{}, false
	}
	u.lock.Lock()
	defer u.lock.Unlock()
	as, found := u.roles[name]
	return as, found
}

// file returns a file as the build is to see it.
func (u *unsealer) file(ctx context.Context, name string, data []byte) ([]byte, error) {
	as, found := u.roleOf(name)
	if !found || !sealed.HoldsValues(data) {
		return data, nil
	}
	u.lock.Lock()
	done, known := u.opened[name]
	u.lock.Unlock()
	if !known {
		done.data, done.err = u.open(ctx, name, data, as)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		u.lock.Lock()
		u.opened[name] = done
		u.lock.Unlock()
	}
	return slices.Clone(done.data), done.err
}

func (u *unsealer) open(ctx context.Context, name string, data []byte, as role) ([]byte, error) {
	format, whole := sealed.Sniff(data)
	switch {
	case !whole && sealed.Torn(data):
		return nil, fmt.Errorf("decrypting %s: it has values that SOPS encrypted, but not what opens them: it was cut short, restore it from the history", name)
	case !whole:
		return data, nil
	}
	if err := manifest.BoundAliases(data, u.limits); err != nil {
		return nil, fmt.Errorf("decrypting %s: %w", name, err)
	}
	box := sealed.Box{Path: name, Data: data, In: format, Out: as.out}
	if as.same {
		box.Out = format
	}
	plain, err := u.opener.Open(ctx, box)
	switch {
	case err != nil:
		return nil, err
	case plain.Unopened:
		return data, nil
	}
	u.lock.Lock()
	u.revealed = append(u.revealed, plain.Values...)
	u.lock.Unlock()
	return plain.Data.Reveal(), nil
}
