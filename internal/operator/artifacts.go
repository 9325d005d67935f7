package operator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/fluxcd/pkg/apis/meta"

	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/source/archive"
)

// artifactServer gives artifacts to other controllers, as Flux's source-controller does.
type artifactServer struct {
	listener net.Listener
	server   *http.Server
}

func listen(address string, handler http.Handler) (*artifactServer, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serving artifacts: %w", err)
	}
	return &artifactServer{listener: listener, server: &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}}, nil
}

// host is where the server listens, in the form that statuses name.
func (a *artifactServer) host() string { return a.listener.Addr().String() }

// Start implements manager.Runnable.
func (a *artifactServer) Start(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = a.server.Close() })
	defer stop()
	if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving artifacts: %w", err)
	}
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica serves what it has.
func (a *artifactServer) NeedLeaderElection() bool { return false }

// trees opens artifacts for the Kustomization controller.
type trees struct{ archive *archive.Fetcher }

// Open returns the files of an artifact, from our own store or over HTTP with the digest verified.
func (t trees) Open(ctx context.Context, artifact *meta.Artifact) (tree.Tree, error) {
	wanted := archive.Artifact{URL: artifact.URL, Digest: artifact.Digest, Revision: artifact.Revision}
	if artifact.Size != nil {
		wanted.Size = *artifact.Size
	}
	return t.archive.Open(ctx, wanted)
}
