package oci

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/stage/source/transport"
)

// Condition reasons of this stage's errors, as Flux uses them.
const (
	reasonURL   = "URLInvalid"
	reasonRead  = "ReadOperationFailed"
	reasonPull  = "OCIArtifactPullFailed"
	reasonLayer = "OCIArtifactLayerOperationFailed"
)

// Scheme begins the address of a repository.
const Scheme = "oci://"

// Reference selects an artifact. The first field that is set wins: Digest, SemVer, Tag; with none set it is
// the tag latest.
type Reference struct {
	Digest string // "sha256:…"
	SemVer string // a constraint over tags, for example ">=1.0.0 <2.0.0"
	Filter string // a regular expression that tags have to match where SemVer is set
	Tag    string
}

// Request asks for the state of a repository.
type Request struct {
	URL       string // oci://host/path, without a tag
	Reference Reference
	// Login is what the registry may ask of us; nil is nobody.
	Login        *Login
	Certificates transport.Certificates
	Proxy        transport.Proxy
	// Insecure allows http, and a certificate that nobody vouches for where Certificates are empty.
	Insecure bool
	// Timeout bounds each of the operations; 0 means 60 s.
	Timeout time.Duration
}

// Repository checks an address and names the repository.
func Repository(address string, insecure bool) (name.Repository, error) {
	path, found := strings.CutPrefix(address, Scheme)
	if !found {
		return name.Repository{}, errors.New("an address has the form 'oci://<domain>/<org>/<repo>'")
	}
	var options []name.Option
	if insecure {
		options = append(options, name.Insecure)
	}
	repository, err := name.NewRepository(path, options...)
	if err != nil {
		if _, tagged := name.NewTag(path, options...); tagged == nil {
			return name.Repository{}, errors.New("an address has no tag and no digest: they belong in spec.ref")
		}
		return name.Repository{}, errors.New("it is not an address of the form 'oci://<domain>/<org>/<repo>'")
	}
	return repository, nil
}

// plan is a request that was checked.
type plan struct {
	Request
	repository name.Repository
	constraint *semver.Constraints
	filter     *regexp.Regexp
}

func newPlan(request Request) (plan, error) {
	p := plan{Request: request}
	if p.Timeout <= 0 {
		p.Timeout = time.Minute
	}
	var err error
	if p.repository, err = Repository(request.URL, request.Insecure); err != nil {
		return p, fault.Stall(reasonURL, fmt.Errorf("reading the repository's URL: %w", err))
	}
	switch reference := request.Reference; {
	case reference.Digest != "":
		if _, err := v1.NewHash(reference.Digest); err != nil {
			return p, fault.Stall(reasonRead, fmt.Errorf("malformed digest %q: want sha256: and 64 hex digits", reference.Digest))
		}
	case reference.SemVer != "":
		if p.constraint, err = semver.NewConstraint(reference.SemVer); err != nil {
			return p, fault.Stall(reasonRead, fmt.Errorf("malformed version range %q: %w", reference.SemVer, err))
		}
		if p.filter, err = regexp.Compile(reference.Filter); err != nil {
			return p, fault.Stall(reasonRead, fmt.Errorf("malformed filter of tags: %w", err))
		}
	case reference.Tag != "":
		if _, err := name.NewTag(p.repository.Name()+":"+reference.Tag, name.StrictValidation); err != nil {
			return p, fault.Stall(reasonRead, fmt.Errorf("malformed tag %q", reference.Tag))
		}
	}
	return p, nil
}

// newest returns the tag with the highest version in the range. Of tags that only differ in what versions
// are not compared by, the last by name wins, so that the answer does not depend on the registry's order.
func (p plan) newest(tags []string) (string, error) {
	var best *semver.Version
	for _, tag := range tags {
		if !p.filter.MatchString(tag) {
			continue
		}
		version, err := versionOf(tag)
		if err != nil || !p.constraint.Check(version) {
			continue
		}
		if best == nil || version.GreaterThan(best) || version.Equal(best) && tag > best.Original() {
			best = version
		}
	}
	if best == nil {
		return "", fmt.Errorf("no tag matches the version range '%s'", p.Reference.SemVer)
	}
	return best.Original(), nil
}

// versionOf reads a tag that is a whole version, with a "v" before it or not.
func versionOf(tag string) (*semver.Version, error) {
	if _, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v")); err != nil {
		return nil, err
	}
	return semver.NewVersion(tag)
}
