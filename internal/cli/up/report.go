package up

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/model/revision"
)

// reporter writes for a person who watches a terminal.
type reporter struct {
	lock   sync.Mutex
	out    io.Writer
	colour bool
	began  time.Time
}

func newReporter(out io.Writer, colour bool) *reporter {
	return &reporter{out: out, colour: colour, began: time.Now()}
}

func (r *reporter) line(format string, args ...any) {
	r.lock.Lock()
	defer r.lock.Unlock()
	fmt.Fprintf(r.out, format+"\n", args...)
}

// paint colours a word on a terminal that shows colours.
func (r *reporter) paint(code, text string) string {
	if !r.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (r *reporter) good(text string) string { return r.paint("32", text) }
func (r *reporter) bad(text string) string  { return r.paint("31", text) }
func (r *reporter) dim(text string) string  { return r.paint("2", text) }

// since is the time on the left of each line.
func (r *reporter) since() string {
	return r.dim(fmt.Sprintf("%6.1fs", time.Since(r.began).Seconds()))
}

func (r *reporter) origin(deliver origin) {
	what := deliver.url
	if deliver.repository != nil {
		what = deliver.repository.Dir()
	}
	if deliver.created {
		r.line("Made the example platform, a Git repository of your own, in %s", what)
	}
	r.line("Delivering %s of %s, branch %s", orRoot(deliver.path), what, deliver.branch)
}

// keys tells which keys the cluster gets.
func (r *reporter) keys(deliver origin, folder string) {
	if deliver.keys != nil && len(deliver.keys) == 0 {
		r.line("%s  %s no key of %s in %s: its secrets open only if the cluster has it", r.since(), r.bad("✗"), deliver.path, folder)
	}
	for _, name := range slices.Sorted(maps.Keys(deliver.keys)) {
		r.line("%s  %s key of %s: %s", r.since(), r.good("✓"), deliver.path, filepath.Join(folder, name))
	}
}

func orRoot(path string) string {
	if path == "" {
		return "the root"
	}
	return path
}

func (r *reporter) stage(name string) { r.line("%s  control plane: %s", r.since(), name) }

func (r *reporter) cluster(cluster Cluster, took time.Duration) {
	r.line("%s  %s control plane at %s in %.1fs", r.since(), r.good("✓"), cluster.Config().Host, took.Seconds())
}

// summary reports on units and ends in what to do next.
type summary struct {
	*reporter
	facts   Cluster
	deliver origin
	demo    bool
	told    string
}

func (r *reporter) summaryOf(cluster Cluster, deliver origin, demo bool) *summary {
	return &summary{reporter: r, facts: cluster, deliver: deliver, demo: demo}
}

// changed reports a step of one unit or source, if there is one to report.
func (s *summary) changed(before, now standing) {
	same := before.verdict == now.verdict && before.reason == now.reason && before.message == now.message && before.revision == now.revision
	if same || now.verdict == "" {
		return
	}
	mark, text := s.dim("·"), now.message
	switch now.verdict {
	case metav1.ConditionTrue:
		mark = s.good("✓")
		text = revision.Short(now.revision)
		if now.unit {
			text += fmt.Sprintf(", %d objects", now.objects)
		}
	case metav1.ConditionFalse:
		mark = s.bad("✗")
		if now.reason == "DependencyNotReady" || strings.HasPrefix(now.message, "Source ") {
			mark = s.dim("·")
		}
		text = trouble(now)
	}
	s.line("%s  %s %-6s %s  %s", s.since(), mark, now.kind, now.name, text)
}

func (s *summary) gone(now standing) {
	s.line("%s  %s %-6s %s  gone", s.since(), s.dim("-"), now.kind, now.name)
}

// allReady writes the summary, in full the first time and in one line for each commit after it.
func (s *summary) allReady(seen map[string]standing) {
	units, objects, latest := 0, 0, ""
	for _, one := range seen {
		if one.unit {
			units++
			objects += one.objects
		} else if one.name.Name == rootName {
			latest = one.revision
		}
	}
	if s.told == latest {
		return
	}
	first := s.told == ""
	s.told = latest
	s.line("%s  %s all %d units ready at %s, %d objects", s.since(), s.good("✓"), units, revision.Short(latest), objects)
	if first {
		s.next()
	}
}

// program is how the person starts this program again: `go run` leaves none behind.
func program() string {
	if name, err := os.Executable(); err == nil && strings.Contains(name, "go-build") {
		return "go run ./cmd/holdfast"
	}
	return "holdfast"
}

// next says what the person can do now.
func (s *summary) next() {
	s.line("")
	s.line("The cluster is yours:")
	s.line("  export KUBECONFIG=%s", s.facts.KubeconfigPath())
	s.line("  kubectl get deployments -A")
	s.line("  %s get all -A            # sources and units", program())
	s.line("  %s tree flux-system      # everything that the root unit owns", program())
	if s.deliver.repository != nil {
		dir := s.deliver.repository.Dir()
		s.line("Change something, and it is live as soon as it is committed:")
		s.line("  cd %s", dir)
		s.line("  $EDITOR %s", filepath.Join(orDot(s.deliver.path), "…"))
		s.line("  git commit -am 'Try it'")
	}
	if s.demo {
		s.recipes()
	}
	s.line("Ctrl-C stops it.")
	s.line("")
}

func orDot(path string) string {
	if path == "" {
		return "."
	}
	return path
}
