package localrepo

import (
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// picked are the objects that answer a wish.
type picked struct {
	objects []plumbing.Hash
	common  []plumbing.Hash // commits that the client has and we know
	shallow []plumbing.Hash // commits whose parents are not sent
}

// picker walks commits and trees. What the client has is marked as seen first, so the walk of a new
// commit goes only into folders that changed.
type picker struct {
	from storer.EncodedObjectStorer
	wish wish
	seen map[plumbing.Hash]bool
	has  map[plumbing.Hash]bool // commits of the client
	out  picked
}

// pick collects what the client lacks.
func pick(ctx context.Context, from storer.EncodedObjectStorer, wish wish) (picked, error) {
	p := &picker{from: from, wish: wish, seen: map[plumbing.Hash]bool{}, has: map[plumbing.Hash]bool{}}
	for _, have := range wish.have {
		commit, err := object.GetCommit(from, have)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			continue
		}
		if err != nil {
			return picked{}, err
		}
		p.has[have] = true
		p.out.common = append(p.out.common, have)
		if err := p.tree(ctx, commit.TreeHash, p.skip); err != nil {
			return picked{}, err
		}
	}
	if !wish.done && wish.depth == 0 {
		return p.out, nil
	}
	for _, want := range wish.want {
		if err := p.wanted(ctx, want); err != nil {
			return picked{}, err
		}
	}
	return p.out, nil
}

// wanted sends what a reference points to: annotated tags, then commits.
func (p *picker) wanted(ctx context.Context, hash plumbing.Hash) error {
	tag, err := object.GetTag(p.from, hash)
	if err == nil {
		p.send(hash)
		return p.wanted(ctx, tag.Target)
	}
	if !errors.Is(err, plumbing.ErrObjectNotFound) {
		return err
	}
	return p.commits(ctx, hash)
}

// commits sends a commit and its history, as deep as was asked for, up to what the client has.
func (p *picker) commits(ctx context.Context, from plumbing.Hash) error {
	level := []plumbing.Hash{from}
	for depth := 1; len(level) > 0; depth++ {
		var next []plumbing.Hash
		for _, hash := range level {
			if p.has[hash] && !p.wish.shallow[hash] || p.seen[hash] {
				continue
			}
			commit, err := object.GetCommit(p.from, hash)
			if err != nil {
				return err
			}
			p.send(hash)
			if err := p.tree(ctx, commit.TreeHash, p.send); err != nil {
				return err
			}
			if p.wish.depth > 0 && depth >= p.wish.depth && len(commit.ParentHashes) > 0 {
				p.out.shallow = append(p.out.shallow, hash)
				continue
			}
			next = append(next, commit.ParentHashes...)
		}
		level = next
	}
	return nil
}

// tree walks what is new of a folder: to send what the client lacks, or to skip what it has.
func (p *picker) tree(ctx context.Context, hash plumbing.Hash, each func(plumbing.Hash)) error {
	if p.seen[hash] {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	folder, err := object.GetTree(p.from, hash)
	if err != nil {
		return err
	}
	each(hash)
	for _, entry := range folder.Entries {
		switch {
		case entry.Mode == filemode.Submodule, p.seen[entry.Hash]:
		case entry.Mode == filemode.Dir:
			if err := p.tree(ctx, entry.Hash, each); err != nil {
				return err
			}
		default:
			each(entry.Hash)
		}
	}
	return nil
}

func (p *picker) skip(hash plumbing.Hash) { p.seen[hash] = true }

func (p *picker) send(hash plumbing.Hash) {
	if !p.seen[hash] {
		p.seen[hash] = true
		p.out.objects = append(p.out.objects, hash)
	}
}
