package localcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// maxSocketPath is the longest path of a Unix socket on every system (macOS allows 104 bytes).
const maxSocketPath = 100

// store is the running etcd.
type store struct {
	etcd     *embed.Etcd
	endpoint string
	sockets  string // folder of the sockets when the data folder's path is too long for them
}

// startStore runs etcd on the folder's data. Clients reach it through a Unix socket in a folder that
// only this user can enter, so it needs neither a port nor certificates. What it cannot go on after,
// die hears of, and it then ends ctx.
func startStore(ctx context.Context, f folder, log io.Writer, die func(error)) (*store, error) {
	sockets, temporary, err := socketFolder(f)
	if err != nil {
		return nil, fmt.Errorf("starting etcd: %w", err)
	}
	s := &store{endpoint: "unix://" + filepath.Join(sockets, "etcd.sock")}
	if temporary {
		s.sockets = sockets
	}
	config, err := storeConfig(f, sockets, log, die)
	if err == nil {
		s.etcd, err = openEtcd(ctx, config)
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("starting etcd on %s: %w", f.etcd(), err)
	}
	return s, nil
}

// openEtcd starts etcd and waits until it serves. It returns as soon as ctx ends, because etcd never
// comes back from damaged files.
func openEtcd(ctx context.Context, config *embed.Config) (*embed.Etcd, error) {
	type result struct {
		etcd *embed.Etcd
		err  error
	}
	opened := make(chan result, 1)
	go func() {
		var r result
		r.etcd, r.err = embed.StartEtcd(config)
		opened <- r
	}()
	var etcd *embed.Etcd
	select {
	case r := <-opened:
		if r.err != nil {
			return nil, r.err
		}
		etcd = r.etcd
	case <-ctx.Done():
		select {
		case r := <-opened: // in time to be closed in order
			return r.etcd, context.Cause(ctx)
		case <-time.After(grace):
			return nil, context.Cause(ctx)
		}
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return etcd, nil
	case err := <-etcd.Err():
		return etcd, err
	case <-etcd.Server.StopNotify():
		return etcd, errors.New("it stopped at once")
	case <-ctx.Done():
		return etcd, context.Cause(ctx)
	}
}

// stop ends etcd and everything that it keeps open.
func (s *store) stop() {
	if s.etcd != nil {
		s.etcd.Close()
	}
	if s.sockets != "" {
		_ = os.RemoveAll(s.sockets)
	}
}

func storeConfig(f folder, sockets string, log io.Writer, die func(error)) (*embed.Config, error) {
	config := embed.NewConfig()
	config.Name = "holdfast"
	config.Dir = f.etcd()
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(storeLogger(log, die))

	client := url.URL{Scheme: "unix", Path: filepath.Join(sockets, "etcd.sock")}
	peer := url.URL{Scheme: "unix", Host: filepath.Join(sockets, "peer.sock")} // etcd looks at the host only
	config.ListenClientUrls, config.ListenPeerUrls = []url.URL{client}, []url.URL{peer}
	// There are no peers: this name is only what the member is called in its own membership list. It
	// has to be an address, and the same at each start wherever the folder lies.
	member := url.URL{Scheme: "http", Host: "127.0.0.1:2380"}
	config.AdvertisePeerUrls, config.AdvertiseClientUrls = []url.URL{member}, []url.URL{member}
	config.InitialCluster = config.Name + "=" + member.String()

	config.UnsafeNoFsync = true // survives a killed process; Git has what a power failure takes
	config.EnableGRPCGateway = false
	config.TickMs, config.ElectionMs = 50, 250 // one member elects itself after this time
	config.SnapshotCount = 5000
	config.SnapshotCatchUpEntries = 500 // nobody has to catch up: these entries are only memory
	config.QuotaBackendBytes = 4 << 30
	config.MaxRequestBytes = 3 << 20
	config.MaxTxnOps = 1024
	config.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration // else each request is a warning
	for _, socket := range []string{client.Path, peer.Host} {
		if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("removing the socket of a former run: %w", err)
		}
	}
	return config, nil
}

// storeLogger sends etcd's log to log. An entry that would end or panic the process ends the cluster
// in order: etcd panics, in goroutines of its own, when its files are damaged.
func storeLogger(log io.Writer, die func(error)) *zap.Logger {
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.RFC3339TimeEncoder
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(encoding), zapcore.AddSync(log), zapcore.WarnLevel)
	return zap.New(core, zap.WithFatalHook(lastWords(die)), zap.WithPanicHook(lastWords(die)))
}

// lastWords hears of an entry after which the caller must not go on.
type lastWords func(error)

// OnWrite implements zapcore.CheckWriteHook.
func (die lastWords) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	err := errors.New(entry.Message)
	for _, field := range fields {
		if cause, ok := field.Interface.(error); ok && field.Type == zapcore.ErrorType {
			err = fmt.Errorf("%s: %w", entry.Message, cause)
		}
	}
	die(fmt.Errorf("running etcd: %w", err))
	runtime.Goexit()
}

// socketFolder returns the folder for etcd's sockets: one in the data folder, unless the path of a
// socket there would be too long.
func socketFolder(f folder) (dir string, temporary bool, err error) {
	if len(filepath.Join(f.run(), "etcd.sock")) > maxSocketPath {
		dir, err = os.MkdirTemp("", "holdfast-etcd-")
		temporary = true
	} else {
		dir, err = f.run(), os.MkdirAll(f.run(), 0o700)
	}
	if err != nil {
		return "", false, fmt.Errorf("making a folder for etcd's socket: %w", err)
	}
	return dir, temporary, nil
}
