package localcluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"gopkg.in/natefinch/lumberjack.v2"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

const (
	logMegabytes = 10 // of the log file before it is set aside
	logBackups   = 1
)

// sink is where all components log to, one line at a time. Once closed it swallows what still comes,
// because goroutines of the components outlive their stop.
type sink struct {
	mu    sync.Mutex
	w     io.Writer
	file  io.Closer // nil when the writer belongs to the caller
	fatal string    // the last fatal line
}

// openSink returns a sink that writes to w, or to a file of bounded size in the data folder.
func openSink(f folder, w io.Writer) *sink {
	if w != nil {
		return &sink{w: w}
	}
	file := &lumberjack.Logger{Filename: f.log(), MaxSize: logMegabytes, MaxBackups: logBackups}
	return &sink{w: file, file: file}
}

// Write implements io.Writer.
func (s *sink) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w == nil {
		return len(line), nil
	}
	return s.w.Write(line)
}

// writeKlog takes a line as klog has formatted it, which begins with the letter of its severity.
func (s *sink) writeKlog(line []byte) {
	if bytes.HasPrefix(line, []byte("F")) {
		s.mu.Lock()
		s.fatal = message(line)
		s.mu.Unlock()
	}
	_, _ = s.Write(line)
}

// message returns the text of a klog line without its header: "F0102 15:04:05.000 1 file.go:1] text".
func message(line []byte) string {
	text, _, _ := bytes.Cut(line, []byte("\n"))
	if _, after, found := bytes.Cut(text, []byte("] ")); found {
		text = after
	}
	return string(text)
}

func (s *sink) lastFatal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fatal == "" {
		return errors.New("a component gave up without a reason")
	}
	return errors.New(s.fatal)
}

func (s *sink) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = nil
	if s.file != nil {
		_ = s.file.Close()
	}
}

// receiver is who hears what the components log: the cluster that runs in this process.
type receiver struct {
	sink *sink
	die  func(error)
}

// The components log through one package of Kubernetes, which lets the logger be set once and not be
// changed while others log. So it is set once, to what passes everything on to the present receiver.
var (
	captured sync.Once                //nolint:gochecknoglobals // klog's settings are global to the process
	heard    atomic.Pointer[receiver] //nolint:gochecknoglobals // as above; nil before the first cluster
)

// captureKlog sends what the components log to s instead of the terminal, and makes their fatal
// messages end the cluster in order, through die, instead of the process.
func captureKlog(s *sink, die func(error)) {
	heard.Store(&receiver{sink: s, die: die})
	captured.Do(func() {
		logger := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(passOn{})))
		klog.SetLoggerWithOptions(logger, klog.ContextualLogger(true),
			klog.WriteKlogBuffer(func(line []byte) { heard.Load().sink.writeKlog(line) }))
		klog.OsExit = func(int) {
			to := heard.Load()
			to.die(fmt.Errorf("running the control plane: %w", to.sink.lastFatal()))
			runtime.Goexit() // the caller does not expect to go on
		}
	})
}

type passOn struct{}

// Write implements io.Writer.
func (passOn) Write(line []byte) (int, error) { return heard.Load().sink.Write(line) }
