package localcluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Holder is what the process that runs a cluster says of itself in the lock file.
type Holder struct {
	PID        int       `json:"pid,omitempty"`
	Server     string    `json:"server,omitempty"`     // URL of the API server; empty until it listens
	Kubeconfig string    `json:"kubeconfig,omitempty"` // path of the kubeconfig that was written
	Ready      bool      `json:"ready,omitempty"`      // everything has become ready
	Started    time.Time `json:"started,omitzero"`
}

// RunningError says that another process runs a cluster on the data folder.
type RunningError struct {
	Dir string
	PID int // 0 when that process has not written it yet
}

func (e *RunningError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("a cluster already runs on %s: stop it first, or choose another data folder", e.Dir)
	}
	return fmt.Sprintf("a cluster already runs on %s (process %d): stop it first, or choose another data folder", e.Dir, e.PID)
}

// errLocked is what lockFile returns when another process holds the lock.
var errLocked = errors.New("locked by another process")

// hold is a data folder that this process owns. The operating system gives it up when the process
// ends, however it ends, so a crash leaves nothing to clean up.
type hold struct {
	file *os.File
}

// dying is how long the end of a killed process may take, during which it still holds its locks.
const dying = time.Second

// acquire takes the data folder for this process, or returns a RunningError.
func acquire(ctx context.Context, f folder) (*hold, error) {
	ctx, cancel := context.WithTimeout(ctx, dying)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		held, err := tryAcquire(f)
		var running *RunningError
		if !errors.As(err, &running) {
			return held, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-tick.C:
		}
	}
}

func tryAcquire(f folder) (*hold, error) {
	file, err := os.OpenFile(f.lock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the data folder: %w", err)
	}
	err = lockFile(file)
	if errors.Is(err, errLocked) {
		holder, _ := readHolder(file)
		_ = file.Close()
		return nil, &RunningError{Dir: string(f), PID: holder.PID}
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("locking the data folder %s: %w", f, err)
	}
	// What a killed process has left there must not be taken for us: its number may be another's by now.
	if err := file.Truncate(0); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("clearing the lock of the data folder: %w", err)
	}
	return &hold{file: file}, nil
}

// say writes what status and stop need to know of this process.
func (h *hold) say(holder Holder) error {
	data, err := json.Marshal(holder)
	if err != nil {
		return err
	}
	// Written in place, because the lock is on this file and not on its name.
	if _, err := h.file.WriteAt(append(data, '\n'), 0); err != nil {
		return fmt.Errorf("writing the lock of the data folder: %w", err)
	}
	return h.file.Truncate(int64(len(data)) + 1)
}

// release gives the data folder up. The file stays: removing it would let two processes lock two
// files of the same name.
func (h *hold) release() {
	_ = h.file.Truncate(0)
	_ = h.file.Close()
}

func readHolder(r io.ReaderAt) (Holder, error) {
	var holder Holder
	data, err := io.ReadAll(io.NewSectionReader(r, 0, 64<<10))
	if err != nil {
		return holder, err
	}
	return holder, json.Unmarshal(data, &holder)
}

// Running tells which process runs a cluster on the data folder dir; false when none does.
func Running(dir string) (Holder, bool, error) {
	f := folder(dir)
	file, err := os.OpenFile(f.lock(), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return Holder{}, false, nil
	}
	if err != nil {
		return Holder{}, false, fmt.Errorf("opening the lock of the data folder: %w", err)
	}
	defer func() { _ = file.Close() }()
	switch err := lockFile(file); {
	case errors.Is(err, errLocked):
		holder, _ := readHolder(file) // empty while the process is writing it
		return holder, true, nil
	case err != nil:
		return Holder{}, false, fmt.Errorf("locking the data folder %s: %w", dir, err)
	}
	return Holder{}, false, nil
}

// Terminate asks the process that runs a cluster on dir to stop and waits until it has given the
// folder up. It returns false when no cluster runs there.
func Terminate(ctx context.Context, dir string) (bool, error) {
	holder, running, err := Running(dir)
	if err != nil || !running {
		return false, err
	}
	if holder.PID == 0 {
		return true, fmt.Errorf("stopping the cluster on %s: its process has not said who it is yet, try again", dir)
	}
	if err := askToStop(holder.PID); err != nil {
		return true, fmt.Errorf("stopping process %d: %w", holder.PID, err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return true, fmt.Errorf("waiting for process %d to stop: %w", holder.PID, context.Cause(ctx))
		case <-tick.C:
		}
		now, running, err := Running(dir)
		if err != nil {
			return true, err
		}
		if !running || (now.PID != 0 && now.PID != holder.PID) {
			return true, nil
		}
	}
}
