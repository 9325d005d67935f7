package send

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // Bitbucket's key is a name of at most 40 characters, not a secret
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"holdfast.dev/holdfast/internal/record/event"
)

// StatusName is the default name of a commit status: kind and name of the object, and the beginning
// of the Provider's UID, which keeps several clusters apart.
func StatusName(said event.Event, uid string) string {
	first, _, _ := strings.Cut(uid, "-")
	return strings.ToLower(said.InvolvedObject.Kind + "/" + said.InvolvedObject.Name + "/" + first)
}

var hash = regexp.MustCompile(`^[0-9a-fA-F]{7,64}$`)

// commit returns the hash of the commit that an event is about.
func (m Message) commit() (string, error) {
	revision := m.Metadata[event.CommitKey]
	if revision == "" {
		revision = m.Revision()
	}
	if revision == "" {
		return "", errors.New("the event names no revision, so there is no commit whose status could be set")
	}
	commit := revision[strings.LastIndexAny(revision, ":/")+1:]
	if !hash.MatchString(commit) || strings.HasPrefix(revision, "sha256:") {
		return "", fmt.Errorf("revision %s is not that of a commit", cut(revision, 80))
	}
	return commit, nil
}

// repository returns scheme and host of a Git address, and the path of the repository without slash
// and suffix. An SSH address stands for HTTPS at the same host.
func repository(address string) (root, path string, err error) {
	address = strings.TrimSpace(address)
	if !strings.Contains(address, "://") {
		host, rest, found := strings.Cut(address, ":") // git@host:owner/name
		if !found {
			return "", "", errAddress
		}
		address = "ssh://" + host + "/" + strings.TrimLeft(rest, "/")
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" {
		return "", "", errAddress
	}
	root = parsed.Scheme + "://" + parsed.Host
	switch parsed.Scheme {
	case "ssh":
		root = "https://" + parsed.Hostname()
	case "http", "https":
	default:
		return "", "", errAddress
	}
	path = strings.TrimSuffix(strings.Trim(parsed.EscapedPath(), "/"), ".git")
	if path == "" {
		return "", "", errAddress
	}
	return root, path, nil
}

// place is a repository of a forge: the address of the API, and the path of the repository in it.
type place struct{ root, path string }

// ownerAndName is a repository's path where it must have two parts.
func ownerAndName(t Target) (place, error) {
	root, path, err := repository(t.Address.Reveal())
	if err == nil && strings.Count(path, "/") != 1 {
		err = fmt.Errorf("a %s provider needs the address of a repository, <host>/<owner>/<name>", t.Type)
	}
	return place{root, path}, err
}

// status is what all forges are told of a commit.
type status struct {
	Message
	commit, name, words string
}

// setting makes the builder for a forge: find says where the repository is and what is missing, and say
// what to send. Nothing is sent for an event that decides nothing yet.
func setting(find func(Target) (place, error), say func(Target, place, status) ([]request, error)) builder {
	return func(t Target, m Message) ([]request, error) {
		if err := t.needs("address"); err != nil {
			return nil, err
		}
		at, err := find(t)
		if err != nil || m.progressing() {
			return nil, err
		}
		commit, err := m.commit()
		if err != nil {
			return nil, err
		}
		name := m.Status
		if name == "" {
			name = StatusName(m.Event, t.UID)
		}
		return say(t, at, status{m, commit, name, m.words()})
	}
}

// withToken refuses targets without a token.
func withToken(find func(Target) (place, error)) func(Target) (place, error) {
	return func(t Target) (place, error) {
		if err := t.needs("address", "token"); err != nil {
			return place{}, err
		}
		return find(t)
	}
}

func githubAPI(t Target) (place, error) {
	at, err := withToken(ownerAndName)(t)
	if at.root == "https://github.com" {
		return place{"https://api.github.com", at.path}, err
	}
	return place{at.root + "/api/v3", at.path}, err
}

func githubHeaders(t Target) []string {
	return append(t.bearer(), "Accept", "application/vnd.github+json", "X-GitHub-Api-Version", "2022-11-28")
}

// github: https://docs.github.com/en/rest/commits/statuses#create-a-commit-status
func github(t Target, at place, s status) ([]request, error) {
	return posted(at.root+"/repos/"+at.path+"/statuses/"+s.commit, map[string]string{
		"state": s.either("success", "failure"), "context": s.name, "description": cut(s.words, 140),
	}, githubHeaders(t)...)
}

// gitlabAPI names a project by its path, which may be deeper than owner and name.
func gitlabAPI(t Target) (place, error) {
	if err := t.needs("address", "token"); err != nil {
		return place{}, err
	}
	root, path, err := repository(t.Address.Reveal())
	return place{root + "/api/v4", strings.ReplaceAll(path, "/", "%2F")}, err
}

func gitlabHeaders(t Target) []string { return []string{"PRIVATE-TOKEN", t.Token.Reveal()} }

// gitlab: https://docs.gitlab.com/api/commits/#set-commit-pipeline-status
func gitlab(t Target, at place, s status) ([]request, error) {
	requests, err := posted(at.root+"/projects/"+at.path+"/statuses/"+s.commit, map[string]string{
		"state": s.either("success", "failed"), "name": s.name, "description": cut(s.words, 255),
	}, gitlabHeaders(t)...)
	if err == nil {
		requests[0].check = func(code int, body []byte) (error, bool) { //nolint:staticcheck // the error is the result here
			return nil, code == 400 && bytes.Contains(body, []byte("Cannot transition status")) // it is set already
		}
	}
	return requests, err
}

func giteaAPI(t Target) (place, error) {
	at, err := withToken(ownerAndName)(t)
	return place{at.root + "/api/v1", at.path}, err
}

func giteaHeaders(t Target) []string { return []string{"Authorization", "token " + t.Token.Reveal()} }

// gitea: https://docs.gitea.com/api/next/#tag/repository/operation/repoCreateStatus
func gitea(t Target, at place, s status) ([]request, error) {
	return posted(at.root+"/repos/"+at.path+"/statuses/"+s.commit, map[string]string{
		"state": s.either("success", "failure"), "context": s.name, "description": s.words, "target_url": "",
	}, giteaHeaders(t)...)
}

// short is a name of at most 40 characters for a status.
func short(name string) string {
	sum := sha1.Sum([]byte(name)) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])
}

// bitbucket: https://developer.atlassian.com/cloud/bitbucket/rest/api-group-commit-statuses/
func bitbucket(t Target, at place, s status) ([]request, error) {
	user, password, found := strings.Cut(t.Token.Reveal(), ":")
	if !found {
		return nil, errors.New("a bitbucket provider needs a token of the form <user>:<app password>")
	}
	if at.root == "https://bitbucket.org" {
		at.root = "https://api.bitbucket.org"
	}
	return posted(at.root+"/2.0/repositories/"+at.path+"/commit/"+s.commit+"/statuses/build", map[string]string{
		"state": s.either("SUCCESSFUL", "FAILED"), "key": short(s.name), "name": s.name, "description": s.words, "url": "https://bitbucket.org",
	}, "Authorization", basic(user, password))
}

// bitbucketServerAPI reads an address to clone from, and makes the path of the API of it.
func bitbucketServerAPI(t Target) (place, error) {
	root, path, err := repository(t.Address.Reveal())
	if err != nil {
		return place{}, err
	}
	path = "/" + path
	at := strings.LastIndex(path, "/scm/")
	project, name, found := strings.Cut(strings.TrimPrefix(path[max(at, 0):], "/scm/"), "/")
	if at < 0 || !found || strings.Contains(name, "/") {
		return place{}, errors.New("a bitbucketserver provider needs the HTTPS address to clone from, <host>/scm/<project>/<name>.git")
	}
	if t.Token.Reveal() == "" && t.needs("username", "password") != nil {
		return place{}, errors.New("a bitbucketserver provider needs a token, or username and password")
	}
	return place{root + path[:at] + "/rest/api/latest", "projects/" + project + "/repos/" + name}, nil
}

// bitbucketServer: https://developer.atlassian.com/server/bitbucket/rest/latest/api-group-builds-and-deployments/
func bitbucketServer(t Target, at place, s status) ([]request, error) {
	header := t.bearer()
	if len(header) == 0 {
		header = []string{"Authorization", basic(t.Username, t.Password.Reveal())}
	}
	plain := strings.TrimSpace(t.Address.Reveal())
	if parsed, err := parse(plain); err == nil {
		parsed.User = nil
		plain = parsed.String()
	}
	return posted(at.root+"/"+at.path+"/commits/"+s.commit+"/builds", map[string]string{
		"key": short(s.name), "state": s.either("SUCCESSFUL", "FAILED"), "url": plain,
		"name": s.subject() + " [" + s.words + "]", "description": s.words,
	}, append(header, "X-Atlassian-Token", "no-check", "X-Requested-With", "XMLHttpRequest")...)
}

// azureDevOpsAPI reads either form of a repository's address.
func azureDevOpsAPI(t Target) (place, error) {
	root, path, err := repository(t.Address.Reveal())
	if err != nil {
		return place{}, err
	}
	steps := strings.Split(path, "/")
	switch {
	case len(steps) == 4 && steps[2] == "_git": // organization/project/_git/name
		steps = []string{steps[0], steps[1], steps[3]}
	case len(steps) == 4 && steps[0] == "v3": // the SSH form
		root, steps = strings.Replace(root, "://ssh.", "://", 1), steps[1:]
	default:
		return place{}, errors.New("an azuredevops provider needs the address of a repository, <host>/<organization>/<project>/_git/<name>")
	}
	return place{root + "/" + steps[0] + "/" + steps[1] + "/_apis/git", "repositories/" + steps[2]}, nil
}

// azureDevOps: https://learn.microsoft.com/en-us/rest/api/azure/devops/git/statuses/create
func azureDevOps(t Target, at place, s status) ([]request, error) {
	return posted(at.root+"/"+at.path+"/commits/"+s.commit+"/statuses?api-version=7.1", map[string]any{
		"state": s.either("succeeded", "error"), "description": s.words,
		"context": map[string]string{"genre": "fluxcd", "name": s.name},
	}, "Authorization", basic("", t.Token.Reveal()))
}
