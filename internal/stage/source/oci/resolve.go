package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	registry "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/model/revision"
	"holdfast.dev/holdfast/internal/stage/source/transport"
)

// Found is an artifact of a registry: where it is, and which digest it has.
type Found struct {
	// Revision is "tag@sha256:…", or the digest alone where the request named one.
	Revision string
	// Digest is "sha256:…" of the manifest.
	Digest string
	// Shown is what people call the artifact: its repository with the tag or the digest.
	Shown string

	plan   plan
	client *client
}

// Resolve finds out what a request means at this moment: at the price of one request for a tag, one more for a
// range of versions, and none for a digest.
func (f *Fetcher) Resolve(ctx context.Context, request Request) (Found, error) {
	p, err := newPlan(request)
	if err != nil {
		return Found{}, err
	}
	client, err := f.clientOf(p)
	if err != nil {
		return Found{}, fault.Because("AuthenticationFailed", fmt.Errorf("reaching %s: %w", request.URL, err))
	}
	if digest := request.Reference.Digest; digest != "" {
		return Found{Revision: digest, Digest: digest, Shown: p.repository.Name() + "@" + digest, plan: p, client: client}, nil
	}
	ctx, cancel := transport.Within(ctx, p.Timeout)
	defer cancel()
	tag, err := f.tag(ctx, p, client)
	if err != nil {
		return Found{}, f.explain(ctx, p, client, reasonRead, fmt.Errorf("determining the tag of %s: %w", request.URL, err))
	}
	digest, err := digestOf(ctx, client, p.repository.Tag(tag))
	if err != nil {
		return Found{}, f.explain(ctx, p, client, reasonPull, fmt.Errorf("determining the digest of %s:%s: %w", request.URL, tag, err))
	}
	return Found{
		Revision: revision.Join(tag, digest.String()), Digest: digest.String(),
		Shown: p.repository.Name() + ":" + tag, plan: p, client: client,
	}, nil
}

// tag returns the tag that a plan means.
func (f *Fetcher) tag(ctx context.Context, p plan, c *client) (string, error) {
	if p.constraint == nil {
		if p.Reference.Tag == "" {
			return name.DefaultTag, nil
		}
		return p.Reference.Tag, nil
	}
	lister, err := c.puller.Lister(ctx, p.repository)
	if err != nil {
		return "", err
	}
	var tags []string
	for lister.HasNext() {
		page, err := lister.Next(ctx)
		if err != nil {
			return "", err
		}
		if tags = append(tags, page.Tags...); len(tags) > f.options.MaxTags {
			return "", fmt.Errorf("the repository has more than the %d tags allowed", f.options.MaxTags)
		}
	}
	return p.newest(tags)
}

// digestOf asks for a tag's digest. Some registries answer only the whole question.
func digestOf(ctx context.Context, c *client, tag name.Tag) (v1.Hash, error) {
	head, err := c.puller.Head(ctx, tag)
	if err == nil {
		return head.Digest, nil
	}
	if status := statusOf(err); status == http.StatusNotFound || status == http.StatusUnauthorized || status == http.StatusForbidden || ctx.Err() != nil {
		return v1.Hash{}, err
	}
	whole, err := c.puller.Get(ctx, tag)
	if err != nil {
		return v1.Hash{}, err
	}
	return whole.Digest, nil
}

// explain gives an error its reason, and takes out of it what must not be seen. Everything that a registry
// says may pass: the artifact may be pushed, and the login be mended.
func (f *Fetcher) explain(ctx context.Context, p plan, c *client, reason string, err error) error {
	if statusOf(err) != http.StatusNotFound {
		f.forget(c)
	}
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
		err = errors.Join(cause)
	}
	return fault.Because(reason, &told{text: p.scrub(err), cause: err})
}

// told is an error with a text that may be shown.
type told struct {
	text  string
	cause error
}

func (t *told) Error() string { return t.text }
func (t *told) Unwrap() error { return t.cause }

// longest is how much of an error is kept: a registry may answer with pages.
const longest = 1024

func (p plan) scrub(err error) string {
	text := err.Error()
	var answered *registry.Error
	if errors.As(err, &answered) {
		text = strings.ReplaceAll(text, answered.Error(), answerOf(answered))
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		text = strings.ReplaceAll(text, failed.Error(), failed.Err.Error()) // its address may carry a token
	}
	if p.Login != nil {
		text = redact.Out(text, []redact.Text{p.Login.Password, p.Login.Identity, p.Login.Bearer})
	}
	text = redact.Out(text, []redact.Text{p.Proxy.Password})
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return text
}

// answerOf tells what a registry answers: the status, and what it says of it.
func answerOf(answered *registry.Error) string {
	text := fmt.Sprintf("the registry answers %d %s", answered.StatusCode, http.StatusText(answered.StatusCode))
	for _, diagnostic := range answered.Errors {
		text += fmt.Sprintf(", %s: %s", diagnostic.Code, diagnostic.Message)
	}
	return text
}

func statusOf(err error) int {
	var answered *registry.Error
	if errors.As(err, &answered) {
		return answered.StatusCode
	}
	return 0
}
