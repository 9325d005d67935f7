package git

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/go-git/go-git/v5/plumbing"

	"holdfast.dev/holdfast/internal/stage/source/git/pack"
)

// Every fetch leaves one more pack, and with it what only older commits had.
const (
	maxPacks = 24 // then the repository is written anew
	keepTips = 8  // with what these commits, the last ones, consist of
)

// compact replaces an overgrown generation by one that holds the newest commits in one pack. Those
// who read the old one go on reading it. Only the holder of the turn may call it.
func (u *update) compact(ctx context.Context, held *lease) error {
	if held.store.Packs() <= maxPacks {
		return nil
	}
	all := held.tips()
	keep := all[max(0, len(all)-keepTips):]
	objects, err := u.reachable(ctx, held, keep)
	if err != nil {
		return err
	}
	if err := u.repo.replace(ctx, held, keep, objects, u.fetcher.packLimits()); err != nil {
		return fmt.Errorf("compacting the repository cache: %w", err)
	}
	return nil
}

// reachable lists all objects of some commits: their directories, files, and of whole ones the
// history.
func (u *update) reachable(ctx context.Context, held *lease, from tips) ([]plumbing.Hash, error) {
	r := &reach{nodes: u.fetcher.nodes, lease: held, seen: map[plumbing.Hash]struct{}{}}
	for _, tip := range from {
		if err := r.addHistory(ctx, tip); err != nil {
			return nil, err
		}
	}
	return r.found, nil
}

type reach struct {
	nodes *nodes
	lease *lease
	seen  map[plumbing.Hash]struct{}
	found []plumbing.Hash
}

func (r *reach) visit(hash plumbing.Hash) (first bool) {
	if _, twice := r.seen[hash]; twice {
		return false
	}
	r.seen[hash] = struct{}{}
	r.found = append(r.found, hash)
	return true
}

func (r *reach) addHistory(ctx context.Context, from tip) error {
	walked := map[plumbing.Hash]struct{}{}
	for queue := []plumbing.Hash{from.commit}; len(queue) > 0; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		next := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if _, twice := walked[next]; twice {
			continue
		}
		walked[next] = struct{}{}
		read, err := readCommit(r.lease.store, next)
		if err != nil {
			return err
		}
		r.visit(next)
		if err := r.addTree(read.tree); err != nil {
			return err
		}
		if !from.shallow {
			queue = append(queue, read.parents...)
		}
	}
	return nil
}

// addTree takes symbolic links along, too, though no node has them: the trees name them.
func (r *reach) addTree(root plumbing.Hash) error {
	if !r.visit(root) {
		return nil
	}
	for queue := []plumbing.Hash{root}; len(queue) > 0; {
		next := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		read, err := r.nodes.get(r.lease, next)
		if err != nil {
			return err
		}
		for _, file := range read.files {
			r.visit(file.hash)
		}
		for _, symlink := range read.symlinks {
			r.visit(symlink.hash)
		}
		for _, dir := range read.dirs {
			if r.visit(dir.hash) {
				queue = append(queue, dir.hash)
			}
		}
	}
	return nil
}

// replace writes objects to a new generation and makes it the current one.
func (r *repository) replace(
	ctx context.Context, old *lease, keep tips, objects []plumbing.Hash, limits pack.Limits,
) error {
	r.mu.Lock()
	r.last++
	dir := filepath.Join(r.dir, strconv.Itoa(r.last))
	r.mu.Unlock()
	next, err := newGeneration(dir)
	if err != nil {
		return err
	}
	if _, err := pack.Copy(ctx, next.packs(), old.store, objects, limits); err != nil {
		return err
	}
	if err := keep.save(dir); err != nil {
		return err
	}
	next.tips = keep
	r.mu.Lock()
	defer r.mu.Unlock()
	r.condemn(old.generation)
	r.current = next
	return nil
}
