package archive

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"holdfast.dev/holdfast/internal/store"
)

var (
	errNotFound = errors.New("artifact not found")
	errMismatch = errors.New("digest does not match")
)

// download fetches the artifact into file and verifies it. It repeats what may pass by itself.
func (f *Fetcher) download(ctx context.Context, artifact Artifact, file *os.File) error {
	address, err := url.Parse(artifact.URL)
	if err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Host == "" {
		return errors.New("address is not an http or https URL")
	}
	pause := f.options.Pause
	for attempt := 0; ; attempt++ {
		again, err := f.try(ctx, artifact, file)
		if err == nil || !again || attempt >= f.options.Retries {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
		pause = min(2*pause, f.options.PauseLimit)
	}
}

// try sends one request. again tells whether another one may have more success.
func (f *Fetcher) try(ctx context.Context, artifact Artifact, file *os.File) (again bool, err error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	if err := file.Truncate(0); err != nil {
		return false, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, artifact.URL, nil)
	if err != nil {
		return false, errors.New("address is not a URL")
	}
	request.Header.Set("Accept-Encoding", "identity") // the archive itself, not an encoding of it
	response, err := f.options.Client.Do(request)
	if err != nil {
		return ctx.Err() == nil, withoutURL(err)
	}
	defer func() { _ = response.Body.Close() }()
	switch status := response.StatusCode; {
	case status == http.StatusOK:
		return f.receive(ctx, artifact, response, file)
	case status == http.StatusNotFound:
		return false, errNotFound
	case status == http.StatusTooManyRequests, status >= 500 && status != http.StatusNotImplemented:
		return true, fmt.Errorf("server answers %s", response.Status)
	default:
		return false, fmt.Errorf("server answers %s", response.Status)
	}
}

// receive copies the body and checks size and digest. A body that breaks off is worth another try.
func (f *Fetcher) receive(ctx context.Context, artifact Artifact, response *http.Response, file *os.File) (again bool, err error) {
	limit := f.options.MaxArchive
	if artifact.Size > limit || response.ContentLength > limit {
		return false, fmt.Errorf("archive is larger than the %d bytes allowed", limit)
	}
	algorithm, want, err := store.ParseDigest(artifact.Digest)
	if err != nil {
		return false, err
	}
	sum := newHash(algorithm)
	received, err := io.Copy(io.MultiWriter(file, sum), io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		return ctx.Err() == nil, withoutURL(err)
	case received > limit:
		return false, fmt.Errorf("archive is larger than the %d bytes allowed", limit)
	case artifact.Size != 0 && received != artifact.Size:
		return false, fmt.Errorf("%w: archive has %d bytes, want %d", errMismatch, received, artifact.Size)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return false, fmt.Errorf("%w: archive has %s:%s, want %s", errMismatch, algorithm, got, artifact.Digest)
	}
	return false, nil
}

func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "sha384":
		return sha512.New384()
	case "sha512":
		return sha512.New()
	default:
		return sha256.New()
	}
}

// withoutURL drops the address from a client's error: it may carry a token.
func withoutURL(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// scrub returns an address without user, query and fragment.
func scrub(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return "artifact"
	}
	return (&url.URL{Scheme: parsed.Scheme, Host: parsed.Host, Path: parsed.Path}).String()
}
