package git

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"

	"holdfast.dev/holdfast/internal/stage/source/git/wire"
)

const (
	maxModuleDepth = 10 // Flux's bound
	maxModules     = 200
	maxModulesFile = 256 << 10
)

// place is a submodule that is being read, on the way from the root.
type place struct {
	path   string // within the repository above
	remote string
	commit plumbing.Hash
}

// addModules lists the files of submodules. A link that .gitmodules does not mention stays empty, as
// in a checkout.
func (l *listing) addModules(ctx context.Context, p plan, s state, links []link, chain []place) error {
	urls, err := l.readModules(s)
	if err != nil {
		return err
	}
	for _, link := range links {
		url, found := urls[link.path]
		if !found {
			continue
		}
		if err := l.addModule(ctx, p, link, url, chain); err != nil {
			return fmt.Errorf("fetching submodule %q: %w", link.path, err)
		}
	}
	return nil
}

// readModules returns the URLs in .gitmodules by path.
func (l *listing) readModules(s state) (map[string]string, error) {
	root, err := l.fetcher.nodes.get(s.lease, s.commit.tree)
	if err != nil {
		return nil, err
	}
	for _, file := range root.files {
		if file.name != ".gitmodules" {
			continue
		}
		_, content, err := s.lease.Store.Read(file.hash, maxModulesFile)
		if err != nil {
			return nil, fmt.Errorf("reading .gitmodules: %w", err)
		}
		return parseModules(content)
	}
	return nil, nil //nolint:nilnil // no submodules
}

func parseModules(content []byte) (map[string]string, error) {
	modules := config.NewModules()
	if err := modules.Unmarshal(content); err != nil {
		return nil, errors.New("reading .gitmodules: it is malformed")
	}
	urls := map[string]string{}
	for _, module := range modules.Submodules {
		urls[path.Clean(module.Path)] = module.URL
	}
	return urls, nil
}

func (l *listing) addModule(ctx context.Context, p plan, at link, url string, chain []place) error {
	if l.modules++; l.modules > maxModules {
		return fmt.Errorf("there are more than %d", maxModules)
	}
	if len(chain) >= maxModuleDepth {
		return fmt.Errorf("they are nested deeper than %d", maxModuleDepth)
	}
	endpoint, err := p.endpoint.Resolve(url)
	if err != nil {
		return err
	}
	here := place{path: at.path, remote: endpoint.String(), commit: at.commit}
	for _, above := range chain {
		if above.remote == here.remote && above.commit == here.commit {
			return errors.New("it contains itself")
		}
	}
	sub := p.forModule(endpoint, at)
	found, err := l.fetcher.obtain(ctx, sub)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", sub.selector.shown, endpoint, err)
	}
	deeper := append(append([]place(nil), chain...), here)
	prefix := ""
	for _, step := range deeper {
		prefix = path.Join(prefix, step.path)
	}
	l.files.hold(prefix, found.lease)
	return l.add(ctx, sub, found, deeper)
}

// forModule is the plan for a submodule. Credentials go along only to the same scheme, host and
// port; trust and the way through a proxy are no secrets of the remote and stay.
func (p plan) forModule(endpoint wire.Endpoint, at link) plan {
	sub := plan{
		endpoint:   endpoint,
		access:     p.access,
		submodules: true,
		timeout:    p.timeout,
		selector:   selector{kind: byCommit, commit: at.commit, shown: fmt.Sprintf("commit '%s'", at.commit)},
		sparse:     p.sparse.below(at.path),
	}
	if endpoint.SameOrigin(p.endpoint) {
		if endpoint.User == "" {
			sub.endpoint.User, sub.endpoint.Password = p.endpoint.User, p.endpoint.Password
		}
		return sub
	}
	sub.access = wire.Access{
		KnownHosts: p.access.KnownHosts, CA: p.access.CA,
		Proxy: p.access.Proxy, ProxyUsername: p.access.ProxyUsername, ProxyPassword: p.access.ProxyPassword,
	}
	return sub
}

// below is what is wanted of a submodule at a path.
func (s sparse) below(module string) sparse {
	var sub sparse
	for _, wanted := range s.dirs {
		if within(module, wanted) {
			return sparse{} // all of it
		}
		if rest, inside := strings.CutPrefix(wanted, module+"/"); inside {
			sub.dirs = append(sub.dirs, rest)
		}
	}
	return sub
}
