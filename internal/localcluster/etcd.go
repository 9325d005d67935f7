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
// only this user can enter, so it needs neither a port nor certificates.
func startStore(ctx context.Context, f folder, log io.Writer, die func(error)) (_ *store, err error) {
	sockets, temporary, err := socketFolder(f)
	if err != nil {
		return nil, err
	}
	s := &store{endpoint: "unix://" + filepath.Join(sockets, "etcd.sock")}
	if temporary {
		s.sockets = sockets
	}
	defer func() {
		if r := recover(); r != nil { // etcd panics when its files are damaged
			err = fmt.Errorf("etcd cannot use %s: %v", f.etcd(), r)
		}
		if err != nil {
			s.stop()
			err = fmt.Errorf("starting etcd: %w", err)
		}
	}()
	config, err := storeConfig(f, sockets, log, die)
	if err != nil {
		return nil, err
	}
	s.etcd, err = embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-s.etcd.Server.ReadyNotify():
		return s, nil
	case err := <-s.etcd.Err():
		return nil, err
	case <-s.etcd.Server.StopNotify():
		return nil, errors.New("it stopped at once")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
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

// storeLogger sends etcd's log to log. A fatal entry ends the cluster in order, not the process.
func storeLogger(log io.Writer, die func(error)) *zap.Logger {
	encoder := zapcore.NewConsoleEncoder(zap.NewProductionEncoderConfig())
	core := zapcore.NewCore(encoder, zapcore.AddSync(log), zapcore.WarnLevel)
	return zap.New(core, zap.WithFatalHook(fatalHook(die)))
}

type fatalHook func(error)

// OnWrite implements zapcore.CheckWriteHook.
func (h fatalHook) OnWrite(entry *zapcore.CheckedEntry, _ []zapcore.Field) {
	h(fmt.Errorf("etcd: %s", entry.Message))
	runtime.Goexit() // zap demands that the caller does not go on
}

// socketFolder returns the folder for etcd's sockets: the data folder, unless its path is too long.
func socketFolder(f folder) (dir string, temporary bool, err error) {
	if len(filepath.Join(string(f), "etcd.sock")) <= maxSocketPath {
		return string(f), false, nil
	}
	dir, err = os.MkdirTemp("", "holdfast-etcd-")
	if err != nil {
		return "", false, fmt.Errorf("making a folder for etcd's socket: %w", err)
	}
	return dir, true, nil
}
