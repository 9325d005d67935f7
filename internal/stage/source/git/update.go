package git

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"holdfast.dev/holdfast/internal/stage/source/git/mirror"
	"holdfast.dev/holdfast/internal/stage/source/git/pack"
	"holdfast.dev/holdfast/internal/stage/source/git/wire"
)

// update brings the commit that a plan means into the cache.
//
// Commits are fetched without their history: deployments need one commit's files, and the history
// of a repository is often a hundred times as large. The next commit is then fetched as a difference
// to those that are here already; each of these is complete in itself, which is what the protocol
// calls a shallow commit, so the remote leaves out all files that have not changed. The whole history
// is fetched only to find a pinned commit at a remote that gives out none but its tips.
type update struct {
	fetcher *Fetcher
	repo    *mirror.Repository
	plan    plan

	ad           *wire.Advertisement
	conversation *wire.Conversation
}

func (u *update) run(ctx context.Context) (state, error) {
	if found, ok, err := u.fromCache(); ok || err != nil {
		return found, err
	}
	arrival := u.repo.Arrive()
	defer u.repo.Leave()
	if err := u.repo.Take(ctx); err != nil {
		return state{}, err
	}
	defer u.repo.Give()
	defer u.hangUp()
	var err error
	if u.ad, u.conversation, err = u.repo.List(ctx, arrival); err != nil {
		return state{}, err
	}
	if u.unchanged() {
		return state{}, nil
	}
	held, err := u.repo.Lease()
	if err != nil {
		return state{}, err
	}
	found, err := u.bring(ctx, held)
	if err != nil || found.lease == nil {
		if errors.Is(err, pack.ErrCorrupt) {
			held.Condemn()
		}
		return found, errors.Join(err, held.Release())
	}
	return found, nil
}

// fromCache answers for a pinned commit that is here: it needs no network.
func (u *update) fromCache() (state, bool, error) {
	if u.plan.selector.kind != byCommit {
		return state{}, false, nil
	}
	held, err := u.repo.Lease()
	if err != nil {
		return state{}, false, err
	}
	if !held.Has(u.plan.selector.commit) {
		return state{}, false, held.Release()
	}
	found, err := u.state(held, candidate{label: u.plan.selector.label, commit: u.plan.selector.commit})
	if err != nil {
		held.Condemn()
		return state{}, false, errors.Join(err, held.Release())
	}
	return found, true, nil
}

// unchanged tells whether the references alone show that the caller has the newest revision.
func (u *update) unchanged() bool {
	if u.plan.selector.kind == byCommit || u.plan.known == "" {
		return false
	}
	candidates, err := u.plan.selector.candidates(u.ad.Refs)
	return err == nil && len(candidates) == 1 && u.revision(candidates[0]) == u.plan.known
}

func (u *update) revision(c candidate) string { return u.plan.selector.revision(c.label, c.commit) }

func (u *update) bring(ctx context.Context, held *mirror.Lease) (state, error) {
	if u.plan.selector.kind == byCommit {
		pinned := candidate{label: u.plan.selector.label, commit: u.plan.selector.commit}
		if err := u.bringCommit(ctx, held, pinned); err != nil {
			return state{}, err
		}
		return u.state(held, pinned)
	}
	candidates, err := u.plan.selector.candidates(u.ad.Refs)
	if err != nil {
		return state{}, err
	}
	if err := u.ensure(ctx, held, candidates); err != nil {
		return state{}, err
	}
	newest, err := u.newest(held, candidates)
	if err != nil || u.plan.known == u.revision(newest) {
		return state{}, err
	}
	if u.lacksTag(held, newest) { // the cache was written anew with commits alone
		if err := u.ensure(ctx, held, []candidate{newest}); err != nil {
			return state{}, err
		}
	}
	return u.state(held, newest)
}

func (u *update) state(held *mirror.Lease, c candidate) (state, error) {
	read, err := readCommit(held.Store, c.commit)
	if err != nil {
		return state{}, err
	}
	tag, err := u.readTag(held, c)
	return state{label: c.label, commit: read, tag: tag, lease: held}, err
}

// lacksTag tells whether the object of a tag is wanted, and is not here.
func (u *update) lacksTag(held *mirror.Lease, c candidate) bool {
	return u.plan.tag && c.tag != "" && c.want != c.commit && !held.Store.Has(c.want)
}

func (u *update) readTag(held *mirror.Lease, c candidate) (*Tag, error) {
	if !u.plan.tag || c.tag == "" {
		return nil, nil
	}
	tag := &Tag{Name: c.tag, Hash: c.want.String()}
	if c.want == c.commit {
		return tag, nil
	}
	kind, content, err := held.Store.Read(c.want, maxCommit)
	if err != nil {
		return nil, fmt.Errorf("reading tag %s: %w", c.tag, err)
	}
	if kind != plumbing.TagObject {
		return nil, fmt.Errorf("reading tag %s: it is a %s", c.tag, kind)
	}
	tag.Content = content
	return tag, nil
}

func (u *update) newest(held *mirror.Lease, candidates []candidate) (candidate, error) {
	best := candidates[0]
	if len(candidates) == 1 {
		return best, nil
	}
	var bestCommit commit
	for _, c := range candidates {
		read, err := readCommit(held.Store, c.commit)
		if err != nil {
			return best, err
		}
		if !read.when.Before(bestCommit.when) {
			best, bestCommit = c, read
		}
	}
	return best, nil
}

// ensure fetches the candidates that are not here.
func (u *update) ensure(ctx context.Context, held *mirror.Lease, candidates []candidate) error {
	var missing []candidate
	for _, c := range candidates {
		if !held.Has(c.commit) || u.lacksTag(held, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	shallow := u.ad.Shallow()
	tips := held.Tips()
	if !shallow {
		tips = tips.WithHistory()
	}
	want := wire.Want{Haves: tips.Haves(), Shallow: shallow}
	for _, c := range missing {
		want.Hashes = append(want.Hashes, c.want)
	}
	if err := u.receiveAnyhow(ctx, held, want); err != nil {
		return err
	}
	added := make([]mirror.Tip, 0, len(missing))
	for _, c := range missing {
		if err := u.complete(ctx, held, c.commit); err != nil {
			return err
		}
		added = append(added, mirror.Tip{Commit: c.commit, Shallow: shallow})
	}
	if err := held.Add(added...); err != nil {
		return err
	}
	return u.compact(ctx, held)
}

// bringCommit finds a pinned commit: as the tip of a reference, by asking for it, or by fetching the
// history in which it should be.
func (u *update) bringCommit(ctx context.Context, held *mirror.Lease, pinned candidate) error {
	if held.Has(pinned.commit) {
		return nil
	}
	for _, ref := range u.ad.Refs {
		if ref.Peeled == pinned.commit {
			pinned.want = ref.Hash
			return u.ensure(ctx, held, []candidate{pinned})
		}
	}
	if u.ad.AnyCommit() {
		pinned.want = pinned.commit
		err := u.ensure(ctx, held, []candidate{pinned})
		var refused *wire.RemoteError
		if !errors.As(err, &refused) {
			return err
		}
	}
	return u.searchHistory(ctx, held, pinned.commit)
}

func (u *update) searchHistory(ctx context.Context, held *mirror.Lease, pinned plumbing.Hash) error {
	places, err := u.plan.selector.places(u.ad.Refs)
	if err != nil {
		return err
	}
	want := wire.Want{Haves: held.Tips().WithHistory().Haves()}
	var added []mirror.Tip
	for _, place := range places {
		if held.Tips().Whole(place.commit) {
			continue
		}
		want.Hashes = append(want.Hashes, place.want)
		added = append(added, mirror.Tip{Commit: place.commit})
	}
	if len(want.Hashes) > 0 {
		if err := u.receive(ctx, held, want); err != nil {
			return err
		}
		if err := held.Add(added...); err != nil {
			return err
		}
	}
	if !held.Store.Has(pinned) {
		return errNoCommit
	}
	if err := u.complete(ctx, held, pinned); err != nil {
		return err
	}
	return held.Add(mirror.Tip{Commit: pinned})
}

var errNoCommit = errors.New("commit not found")

// receiveAnyhow is receive, and once more without a word of what we have where the server refuses: it
// may have stumbled over a commit that it lost.
func (u *update) receiveAnyhow(ctx context.Context, held *mirror.Lease, want wire.Want) error {
	err := u.receive(ctx, held, want)
	var refused *wire.RemoteError
	if !errors.As(err, &refused) || len(want.Haves) == 0 || ctx.Err() != nil {
		return err
	}
	want.Haves = nil
	return u.receive(ctx, held, want)
}

// receive fetches a pack into the cache.
func (u *update) receive(ctx context.Context, held *mirror.Lease, want wire.Want) error {
	if u.conversation == nil {
		var err error
		if u.conversation, err = u.repo.Open(ctx); err != nil {
			return err
		}
	}
	defer u.hangUp() // a conversation is good for one pack
	stream, err := u.conversation.Fetch(ctx, want)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }() // all of it was read, or is of no use
	err = held.Receive(ctx, stream, u.fetcher.packLimits())
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// packLimits derive from the limits of the repository: a pack may hold history and deltas, so its
// objects may be larger in sum than the files of a commit.
func (f *Fetcher) packLimits() pack.Limits {
	const memory = 512 << 20
	return pack.Limits{
		Bytes:    f.options.MaxRepositoryBytes,
		Inflated: 16 * f.options.MaxRepositoryBytes,
		Objects:  10_000_000,
		Memory:   memory,
	}
}

// hangUp ends the conversation where there is one.
func (u *update) hangUp() {
	if u.conversation != nil {
		_ = u.conversation.Close() // it has said all that matters
		u.conversation = nil
	}
}

// complete checks that everything that a commit consists of is here, so that it may be told to the
// remote as something that we have.
func (u *update) complete(ctx context.Context, held *mirror.Lease, hash plumbing.Hash) error {
	if !held.Store.Has(hash) {
		return fmt.Errorf("the server did not send commit %s", hash)
	}
	read, err := readCommit(held.Store, hash)
	if err != nil {
		return err
	}
	err = u.fetcher.nodes.walk(ctx, held, read.tree)
	if errors.Is(err, pack.ErrCorrupt) {
		return fmt.Errorf("the server did not send all of commit %s: %w", hash, err)
	}
	return err
}
