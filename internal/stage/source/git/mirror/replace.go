package mirror

import (
	"context"
	"path/filepath"
	"strconv"

	"github.com/go-git/go-git/v5/plumbing"

	"holdfast.dev/holdfast/internal/stage/source/git/pack"
)

// Replace writes some tips, with all the objects that they consist of, to a new generation and makes
// it the current one. Only the holder of the turn may call it.
func (l *Lease) Replace(ctx context.Context, keep Tips, objects []plumbing.Hash, limits pack.Limits) error {
	r := l.repo
	r.mu.Lock()
	r.last++
	dir := filepath.Join(r.dir, strconv.Itoa(r.last))
	r.mu.Unlock()
	next, err := newGeneration(dir)
	if err != nil {
		return err
	}
	if _, err := pack.Copy(ctx, next.packs(), l.Store, objects, limits); err != nil {
		return err
	}
	if err := keep.save(dir); err != nil {
		return err
	}
	next.tips = keep
	r.mu.Lock()
	defer r.mu.Unlock()
	r.condemn(l.generation)
	r.current = next
	return nil
}
