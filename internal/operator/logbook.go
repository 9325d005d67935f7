package operator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"holdfast.dev/holdfast/internal/hook/logbook"
)

// logServer answers those who may read the audit log.
type logServer struct {
	listener net.Listener
	server   *http.Server
	alone    bool // each replica has a log of its own, and only that of the one that works is written
}

// Start implements manager.Runnable.
func (s *logServer) Start(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.server.Close() })
	defer stop()
	if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the audit log: %w", err)
	}
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (s *logServer) NeedLeaderElection() bool { return s.alone }

// serveLogbook listens for readers of the audit log.
func (o *Operator) serveLogbook() error {
	if orNone(o.config.AuditAddress) == "0" {
		return nil
	}
	listener, err := net.Listen("tcp", o.config.AuditAddress)
	if err != nil {
		return fmt.Errorf("serving the audit log: %w", err)
	}
	o.read = &logServer{listener: listener, alone: o.audit.db.Place().IsFile(), server: logbook.New(logbook.Deps{
		Reviews: o.manager.GetClient(), DB: o.audit.db, Log: o.config.Log.WithName("logbook"),
	})}
	return o.manager.Add(o.read)
}

// AuditHost is where the audit log is read, "" where it is not.
func (o *Operator) AuditHost() string {
	if o.read == nil {
		return ""
	}
	return o.read.listener.Addr().String()
}
