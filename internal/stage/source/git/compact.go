package git

import (
	"context"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"holdfast.dev/holdfast/internal/stage/source/git/mirror"
)

// Every fetch leaves one more pack, and with it what only older commits had.
const (
	maxPacks = 24 // then the repository is written anew
	keepTips = 8  // with what these commits, the last ones, consist of
)

// compact replaces an overgrown generation by one that holds the newest commits in one pack. Those
// who read the old one go on reading it. Only the holder of the turn may call it.
func (u *update) compact(ctx context.Context, held *mirror.Lease) error {
	if held.Store.Packs() <= maxPacks {
		return nil
	}
	all := held.Tips()
	keep := all[max(0, len(all)-keepTips):]
	objects, err := u.reachable(ctx, held, keep)
	if err != nil {
		return err
	}
	if err := held.Replace(ctx, keep, objects, u.fetcher.packLimits()); err != nil {
		return fmt.Errorf("compacting the repository cache: %w", err)
	}
	return nil
}

// reachable lists all objects of some commits: their directories, files, and of whole ones the
// history.
func (u *update) reachable(ctx context.Context, held *mirror.Lease, from mirror.Tips) ([]plumbing.Hash, error) {
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
	lease *mirror.Lease
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

func (r *reach) addHistory(ctx context.Context, from mirror.Tip) error {
	walked := map[plumbing.Hash]struct{}{}
	for queue := []plumbing.Hash{from.Commit}; len(queue) > 0; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		next := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if _, twice := walked[next]; twice {
			continue
		}
		walked[next] = struct{}{}
		read, err := readCommit(r.lease.Store, next)
		if err != nil {
			return err
		}
		r.visit(next)
		if err := r.addTree(read.tree); err != nil {
			return err
		}
		if !from.Shallow {
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
