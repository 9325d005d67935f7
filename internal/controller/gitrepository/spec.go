package gitrepository

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/source/git"
)

// requestOf translates a spec into a request, without its secrets. What it refuses, only a change of
// the spec can make possible.
func requestOf(object *sourcev1.GitRepository) (git.Request, error) {
	spec := object.Spec
	address, err := addressOf(spec.URL)
	if err != nil {
		return git.Request{}, fault.Stall(sourcev1.URLInvalidReason, err)
	}
	cloud := false
	switch provider := object.GetProvider(); provider {
	case sourcev1.GitProviderGeneric, sourcev1.GitProviderGitHub:
	case identity.AWS, identity.Azure:
		cloud = true
		if address.Scheme != "https" || address.User != nil {
			return git.Request{}, fault.Stall(sourcev1.InvalidProviderConfigurationReason,
				fmt.Errorf("provider %s needs an https address without a user in spec.url", provider))
		}
	default:
		return git.Request{}, fault.Stall(sourcev1.InvalidProviderConfigurationReason,
			fmt.Errorf("provider %q is none of generic, github, azure, aws", provider))
	}
	if spec.ServiceAccountName != "" && !cloud {
		return git.Request{}, fault.Stall(sourcev1.InvalidProviderConfigurationReason,
			errors.New("spec.serviceAccountName has a meaning only for providers azure and aws"))
	}
	request := git.Request{
		URL:        address.String(),
		Timeout:    timeoutOf(object),
		Submodules: spec.RecurseSubmodules,
		Tag:        spec.Verification != nil && spec.Verification.VerifyTag(),
	}
	if spec.Reference != nil {
		request.Reference = git.Reference(*spec.Reference)
	}
	for _, dir := range spec.SparseCheckout {
		request.Sparse = append(request.Sparse, strings.TrimPrefix(dir, "./"))
	}
	if user := address.User; user != nil && address.Scheme != "ssh" {
		password, _ := user.Password()
		request.Auth.Username, request.Auth.Password = redact.Text(user.Username()), redact.Text(password)
		address.User = nil
		request.URL = address.String()
	}
	return request, nil
}

// addressOf checks an address. The error never repeats it, because it may carry a password.
func addressOf(text string) (*url.URL, error) {
	address, err := url.Parse(text)
	if err != nil || address.Host == "" {
		return nil, errors.New("parsing spec.url: it is not an address of the form scheme://host/path")
	}
	if !slices.Contains([]string{"http", "https", "ssh"}, address.Scheme) {
		return nil, fmt.Errorf("parsing spec.url: scheme %q is none of http, https, ssh", address.Scheme)
	}
	return address, nil
}

func timeoutOf(object *sourcev1.GitRepository) time.Duration {
	if object.Spec.Timeout == nil || object.Spec.Timeout.Duration <= 0 {
		return time.Minute
	}
	return object.Spec.Timeout.Duration
}

// contentChanged tells whether the artifact in the status was made with other options than the spec
// has now, so that even an unchanged commit gives another artifact.
func contentChanged(object *sourcev1.GitRepository, included []*meta.Artifact) bool {
	spec, status := object.Spec, object.Status
	return !equal(spec.Ignore, status.ObservedIgnore) ||
		spec.RecurseSubmodules != status.ObservedRecurseSubmodules ||
		unverified(object) ||
		!slices.Equal(spec.Include, status.ObservedInclude) ||
		!slices.Equal(spec.SparseCheckout, status.ObservedSparseCheckout) ||
		!slices.EqualFunc(included, status.IncludedArtifacts, sameArtifact)
}

func equal(a, b *string) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func sameArtifact(a, b *meta.Artifact) bool {
	return a.HasRevision(b.Revision) && a.HasDigest(b.Digest)
}
