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

// ownerAndName is a repository's path where it must have two parts.
func ownerAndName(t Target) (root, path string, err error) {
	root, path, err = repository(t.Address.Reveal())
	if err == nil && strings.Count(path, "/") != 1 {
		err = fmt.Errorf("a %s provider needs the address of a repository, <host>/<owner>/<name>", t.Type)
	}
	return root, path, err
}

// status is what all forges are told of a commit.
type status struct{ commit, name, words string }

// status returns what to tell, and nothing for an event that decides nothing yet.
func (t Target) status(m Message, needs ...string) (*status, error) {
	if err := t.needs(append(needs, "address")...); err != nil || m.progressing() {
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
	return &status{commit: commit, name: name, words: m.words()}, nil
}

func githubAPI(t Target) (api, path string, err error) {
	if err := t.needs("address", "token"); err != nil {
		return "", "", err
	}
	root, path, err := ownerAndName(t)
	if err != nil {
		return "", "", err
	}
	if root == "https://github.com" {
		return "https://api.github.com", path, nil
	}
	return root + "/api/v3", path, nil
}

func githubHeaders(t Target) []string {
	return append(t.bearer(), "Accept", "application/vnd.github+json", "X-GitHub-Api-Version", "2022-11-28")
}

// github: https://docs.github.com/en/rest/commits/statuses#create-a-commit-status
func github(t Target, m Message) ([]request, error) {
	s, err := t.status(m, "token")
	if s == nil {
		return nil, err
	}
	api, path, err := githubAPI(t)
	if err != nil {
		return nil, err
	}
	return posted(api+"/repos/"+path+"/statuses/"+s.commit, map[string]string{
		"state": m.either("success", "failure"), "context": s.name, "description": cut(s.words, 140),
	}, githubHeaders(t)...)
}

// gitlab: https://docs.gitlab.com/api/commits/#set-commit-pipeline-status
func gitlab(t Target, m Message) ([]request, error) {
	s, err := t.status(m, "token")
	if s == nil {
		return nil, err
	}
	root, path, err := repository(t.Address.Reveal())
	if err != nil {
		return nil, err
	}
	requests, err := posted(root+"/api/v4/projects/"+strings.ReplaceAll(path, "/", "%2F")+"/statuses/"+s.commit, map[string]string{
		"state": m.either("success", "failed"), "name": s.name, "description": cut(s.words, 255),
	}, "PRIVATE-TOKEN", t.Token.Reveal())
	if err == nil {
		requests[0].check = func(code int, body []byte) (error, bool) { //nolint:staticcheck // the error is the result here
			return nil, code == 400 && bytes.Contains(body, []byte("Cannot transition status")) // it is set already
		}
	}
	return requests, err
}

// gitea: https://docs.gitea.com/api/next/#tag/repository/operation/repoCreateStatus
func gitea(t Target, m Message) ([]request, error) {
	s, err := t.status(m, "token")
	if s == nil {
		return nil, err
	}
	root, path, err := ownerAndName(t)
	if err != nil {
		return nil, err
	}
	return posted(root+"/api/v1/repos/"+path+"/statuses/"+s.commit, map[string]string{
		"state": m.either("success", "failure"), "context": s.name, "description": s.words, "target_url": "",
	}, "Authorization", "token "+t.Token.Reveal())
}

// short is a name of at most 40 characters for a status.
func short(name string) string {
	sum := sha1.Sum([]byte(name)) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])
}

// bitbucket: https://developer.atlassian.com/cloud/bitbucket/rest/api-group-commit-statuses/
func bitbucket(t Target, m Message) ([]request, error) {
	s, err := t.status(m, "token")
	if s == nil {
		return nil, err
	}
	root, path, err := ownerAndName(t)
	if err != nil {
		return nil, err
	}
	user, password, found := strings.Cut(t.Token.Reveal(), ":")
	if !found {
		return nil, errors.New("a bitbucket provider needs a token of the form <user>:<app password>")
	}
	if root == "https://bitbucket.org" {
		root = "https://api.bitbucket.org"
	}
	return posted(root+"/2.0/repositories/"+path+"/commit/"+s.commit+"/statuses/build", map[string]string{
		"state": m.either("SUCCESSFUL", "FAILED"), "key": short(s.name), "name": s.name, "description": s.words, "url": "https://bitbucket.org",
	}, "Authorization", basic(user, password))
}

// bitbucketServer: https://developer.atlassian.com/server/bitbucket/rest/latest/api-group-builds-and-deployments/
func bitbucketServer(t Target, m Message) ([]request, error) {
	s, err := t.status(m)
	if s == nil {
		return nil, err
	}
	root, path, err := repository(t.Address.Reveal())
	if err != nil {
		return nil, err
	}
	path = "/" + path
	at := strings.LastIndex(path, "/scm/")
	project, name, found := strings.Cut(strings.TrimPrefix(path[max(at, 0):], "/scm/"), "/")
	if at < 0 || !found || strings.Contains(name, "/") {
		return nil, errors.New("a bitbucketserver provider needs the HTTPS address to clone from, <host>/scm/<project>/<name>.git")
	}
	header := t.bearer()
	if len(header) == 0 {
		if err := t.needs("username", "password"); err != nil {
			return nil, errors.New("a bitbucketserver provider needs a token, or username and password")
		}
		header = []string{"Authorization", basic(t.Username, t.Password.Reveal())}
	}
	plain := strings.TrimSpace(t.Address.Reveal())
	if parsed, err := parse(plain); err == nil {
		parsed.User = nil
		plain = parsed.String()
	}
	return posted(root+path[:at]+"/rest/api/latest/projects/"+project+"/repos/"+name+"/commits/"+s.commit+"/builds", map[string]string{
		"key": short(s.name), "state": m.either("SUCCESSFUL", "FAILED"), "url": plain,
		"name": m.subject() + " [" + s.words + "]", "description": s.words,
	}, append(header, "X-Atlassian-Token", "no-check", "X-Requested-With", "XMLHttpRequest")...)
}

// azureDevOps: https://learn.microsoft.com/en-us/rest/api/azure/devops/git/statuses/create
func azureDevOps(t Target, m Message) ([]request, error) {
	s, err := t.status(m, "token")
	if s == nil {
		return nil, err
	}
	root, path, err := repository(t.Address.Reveal())
	if err != nil {
		return nil, err
	}
	steps := strings.Split(path, "/")
	switch {
	case len(steps) == 4 && steps[2] == "_git": // organization/project/_git/name
		steps = []string{steps[0], steps[1], steps[3]}
	case len(steps) == 4 && steps[0] == "v3": // the SSH form
		root, steps = strings.Replace(root, "://ssh.", "://", 1), steps[1:]
	default:
		return nil, errors.New("an azuredevops provider needs the address of a repository, <host>/<organization>/<project>/_git/<name>")
	}
	return posted(root+"/"+steps[0]+"/"+steps[1]+"/_apis/git/repositories/"+steps[2]+"/commits/"+s.commit+"/statuses?api-version=7.1", map[string]any{
		"state": m.either("succeeded", "error"), "description": s.words,
		"context": map[string]string{"genre": "fluxcd", "name": s.name},
	}, "Authorization", basic("", t.Token.Reveal()))
}
