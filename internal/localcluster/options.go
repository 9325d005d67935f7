package localcluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// The stages of a start, in the order in which Options.Progress hears of them.
const (
	StageCredentials = "credentials"
	StageStore       = "etcd"
	StageAPIServer   = "API server"
	StageControllers = "controllers"
	StageReady       = "ready"
)

const (
	defaultNodes        = 3
	maxNodes            = 1000
	defaultStartTimeout = 2 * time.Minute
)

// Options says where a cluster keeps its data and how large it is. The zero value is a cluster of
// three nodes in DefaultDir, on a port that stays the same from start to start while it is free.
type Options struct {
	Dir            string             // data folder; empty means DefaultDir()
	Ephemeral      bool               // keep nothing: data in a temporary folder that Stop removes; Dir must be empty
	KubeconfigPath string             // kubeconfig to add the context ContextName to; empty means one in the data folder
	Port           int                // port of the API server on 127.0.0.1; 0 means the one of last time, or a free one
	Nodes          int                // simulated nodes; 0 means 3
	LogWriter      io.Writer          // where the components log; nil means a file in the data folder
	Progress       func(stage string) // told when each stage begins, and StageReady at the end; may be nil
	StartTimeout   time.Duration      // how long all may take to become ready; 0 means 2 minutes
	Now            func() time.Time   // nil means time.Now
}

// DefaultDir returns the data folder of the user's cluster: holdfast/cluster in the XDG data home,
// on macOS and Windows in the place that the system has for it.
func DefaultDir() (string, error) {
	if home := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, "holdfast", "cluster"), nil
	}
	dir, err := dataHome()
	if err != nil {
		return "", fmt.Errorf("finding the data folder: %w", err)
	}
	return filepath.Join(dir, "holdfast", "cluster"), nil
}

// complete checks o and fills in what it leaves open, save the folder of an ephemeral cluster.
func (o Options) complete() (Options, error) {
	if o.Ephemeral && o.Dir != "" {
		return o, errors.New("an ephemeral cluster has no data folder of its own: leave one of the two out")
	}
	if o.Nodes < 0 || o.Nodes > maxNodes {
		return o, fmt.Errorf("%d simulated nodes: must be between 1 and %d", o.Nodes, maxNodes)
	}
	if o.Port < 0 || o.Port > 65535 {
		return o, fmt.Errorf("port %d: must be between 0 and 65535", o.Port)
	}
	if o.Nodes == 0 {
		o.Nodes = defaultNodes
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = defaultStartTimeout
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if !o.Ephemeral && o.Dir == "" {
		dir, err := DefaultDir()
		if err != nil {
			return o, err
		}
		o.Dir = dir
	}
	if o.Dir != "" {
		dir, err := filepath.Abs(o.Dir)
		if err != nil {
			return o, fmt.Errorf("resolving %s: %w", o.Dir, err)
		}
		o.Dir = dir
	}
	return o, nil
}
