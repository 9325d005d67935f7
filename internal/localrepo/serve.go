package localrepo

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

const service = "git-upload-pack"

// maxRequest bounds what a client may say in one request, in bytes: references and commits it has.
const maxRequest = 4 << 20

// Handler serves the repository for fetching. Its two addresses are info/refs and git-upload-pack
// below any path.
func (r *Repository) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		var err error
		w.Header().Set("Cache-Control", "no-cache")
		switch path := request.URL.Path; {
		case request.Method == http.MethodGet && strings.HasSuffix(path, "/info/refs"):
			if request.URL.Query().Get("service") != service {
				http.Error(w, "only fetching over smart HTTP is served here", http.StatusForbidden)
				return
			}
			err = r.advertise(w)
		case request.Method == http.MethodPost && strings.HasSuffix(path, "/"+service):
			err = r.upload(request.Context(), w, request)
		default:
			http.NotFound(w, request)
			return
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}

// advertise lists the references.
func (r *Repository) advertise(w http.ResponseWriter) error {
	opened, err := r.open()
	if err != nil {
		return err
	}
	list := packp.NewAdvRefs()
	list.Prefix = [][]byte{[]byte("# service=" + service), pktline.Flush}
	for _, able := range []capability.Capability{capability.Shallow, capability.OFSDelta, capability.AllowReachableSHA1InWant} {
		if err := list.Capabilities.Set(able); err != nil {
			return err
		}
	}
	if err := list.Capabilities.Set(capability.Agent, "holdfast"); err != nil {
		return err
	}
	if err := references(opened.Storer, list); err != nil {
		return fmt.Errorf("listing references: %w", err)
	}
	w.Header().Set("Content-Type", "application/x-"+service+"-advertisement")
	return list.Encode(w)
}

func references(from storer.ReferenceStorer, into *packp.AdvRefs) error {
	iterator, err := from.IterReferences()
	if err != nil {
		return err
	}
	err = iterator.ForEach(func(reference *plumbing.Reference) error {
		if reference.Type() == plumbing.HashReference {
			into.References[reference.Name().String()] = reference.Hash()
		}
		return nil
	})
	if err != nil {
		return err
	}
	head, err := storer.ResolveReference(from, plumbing.HEAD)
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	hash := head.Hash()
	into.Head = &hash
	return into.Capabilities.Add(capability.SymRef, "HEAD:"+head.Name().String())
}

// upload sends the objects that a client lacks.
func (r *Repository) upload(ctx context.Context, w http.ResponseWriter, request *http.Request) error {
	opened, err := r.open()
	if err != nil {
		return err
	}
	body := io.Reader(http.MaxBytesReader(w, request.Body, maxRequest))
	if request.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(body); err != nil {
			return fmt.Errorf("reading request: %w", err)
		}
		body = io.LimitReader(body, maxRequest)
	}
	wish, err := readWish(body)
	if err != nil {
		return fmt.Errorf("reading request: %w", err)
	}
	picked, err := pick(ctx, opened.Storer, wish)
	if err != nil {
		return fmt.Errorf("collecting objects: %w", err)
	}
	w.Header().Set("Content-Type", "application/x-"+service+"-result")
	return answer(w, opened.Storer, wish, picked)
}

// answer writes the shallow lines, the acknowledgement and the pack.
func answer(w io.Writer, from storer.EncodedObjectStorer, wish wish, picked picked) error {
	lines := pktline.NewEncoder(w)
	if wish.depth > 0 {
		for _, commit := range picked.shallow {
			if err := lines.EncodeString("shallow " + commit.String()); err != nil {
				return err
			}
		}
		if err := lines.Flush(); err != nil {
			return err
		}
	}
	if !wish.done && len(wish.have) == 0 {
		return nil // the client asks where history is cut off, and comes again
	}
	if !wish.done {
		// Without multi_ack, a client that is not done yet gets one acknowledgement of a commit that
		// both have, or a refusal, and asks again.
		if len(picked.common) > 0 {
			return lines.EncodeString("ACK " + picked.common[0].String() + "\n")
		}
		return lines.EncodeString("NAK\n")
	}
	reply := "NAK\n"
	if len(picked.common) > 0 {
		reply = "ACK " + picked.common[len(picked.common)-1].String() + "\n"
	}
	if err := lines.EncodeString(reply); err != nil {
		return err
	}
	// On loopback, computing deltas costs more than it saves.
	_, err := packfile.NewEncoder(w, from, false).Encode(picked.objects, 0)
	return err
}
