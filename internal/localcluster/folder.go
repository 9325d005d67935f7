package localcluster

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// folder is the data folder of a cluster. Everything in it is readable by its owner only.
type folder string

func (f folder) lock() string                    { return filepath.Join(string(f), "lock") }
func (f folder) port() string                    { return filepath.Join(string(f), "port") }
func (f folder) log() string                     { return filepath.Join(string(f), "cluster.log") }
func (f folder) etcd() string                    { return filepath.Join(string(f), "etcd") }
func (f folder) run() string                     { return filepath.Join(string(f), "run") }
func (f folder) pki() string                     { return filepath.Join(string(f), "pki") }
func (f folder) pem(name string) string          { return filepath.Join(f.pki(), name) }
func (f folder) kubeconfig() string              { return filepath.Join(string(f), "kubeconfig") }
func (f folder) componentConfig(n string) string { return filepath.Join(f.pki(), n+".kubeconfig") }

// ephemeralPattern names the folders of ephemeral clusters, so that those of killed processes can be
// told from others and removed.
const ephemeralPattern = "holdfast-cluster-"

// makeFolder creates the data folder at dir, or an ephemeral one where dir is empty.
func makeFolder(dir string) (folder, error) {
	if dir == "" {
		temp, err := os.MkdirTemp("", ephemeralPattern)
		if err != nil {
			return "", fmt.Errorf("making a temporary data folder: %w", err)
		}
		return folder(temp), nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making the data folder: %w", err)
	}
	return folder(dir), nil
}

// sweepEphemeral removes the folders of ephemeral clusters whose process is gone without having
// cleaned up. A folder younger than a minute may belong to a process that has not locked it yet.
func sweepEphemeral(now time.Time) {
	found, err := filepath.Glob(filepath.Join(os.TempDir(), ephemeralPattern+"*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || now.Sub(info.ModTime()) < time.Minute {
			continue
		}
		held, err := tryAcquire(folder(dir))
		if err != nil {
			continue // in use, or another user's
		}
		held.release()
		_ = os.RemoveAll(dir)
	}
}

// replaceFile writes data to path so that a reader sees the old file or the new one, never a part.
func replaceFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	if _, err := temp.Write(data); err != nil {
		_ = temp.Close()
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
