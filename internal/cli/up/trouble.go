package up

import (
	"path/filepath"
	"strings"
)

// indent puts further lines of a message below its first.
const indent = "\n           "

// trouble is what a person reads of a unit or source that is not ready.
func trouble(now standing) string {
	switch now.reason {
	case "RollingBack":
		_, cause, _ := strings.Cut(now.message, "; the cause: ")
		return "is being rolled back: " + firstLines(cause)
	case "RolledBack":
		return undone("rolled back, and held there until Git changes", now)
	case "RollbackFailed":
		return undone("rolled back, but what it went back to is not healthy either; nothing further is tried", now)
	case "Frozen":
		return undone("frozen: it was rolled back too often, and nothing new is tried", now)
	case "BuildFailed":
		return "rejected, BuildFailed: " + firstLines(innermost(now.message)) + indent + wayOut(now)
	}
	text := now.reason + ": " + firstLines(now.message)
	if now.reason == "ReconciliationFailed" {
		text = "rejected, " + text + indent + wayOut(now)
	}
	return text
}

// innermost takes the folders on the way to the one that does not build out of kustomize's message:
// it tells of each that it could not be read as a file.
func innermost(message string) string {
	const step = "recursed accumulation of path '"
	what, _, _ := strings.Cut(message, ": accumulating resources")
	at := strings.LastIndex(message, step)
	if at < 0 {
		return message
	}
	folder, cause, found := strings.Cut(message[at+len(step):], "': ")
	if !found {
		return message
	}
	return what + ": " + folder + ": " + cause
}

// undone lays out the sentence of a unit that is held: what Git wants, what runs, why, and the way out.
func undone(what string, now standing) string {
	message := now.message
	for _, tail := range []string{"; commit a fix, or try it once more", "; rolled back too often within an hour"} {
		if at := strings.LastIndex(message, tail); at >= 0 {
			message = message[:at] // it is said below, with what a person at this terminal can do
		}
	}
	wants, runs, _ := strings.Cut(message, "; the cluster runs ")
	runs, why, _ := strings.Cut(runs, "Z: ") // the end of a time
	lines := []string{what, wants}
	if runs != "" {
		lines = append(lines, "the cluster runs "+runs+"Z")
	}
	if why != "" {
		lines = append(lines, "why: "+firstLines(why))
	}
	return strings.Join(append(lines, wayOut(now)), indent)
}

// wayOut says what a person can do about a unit whose wish is not what runs.
func wayOut(now standing) string {
	name := now.name.Name
	if now.name.Namespace != namespace {
		name += " -n " + now.name.Namespace
	}
	out := "the way out: `git revert HEAD`, or a fix"
	if now.reason == "Frozen" {
		out += ", and then `" + program() + " retry " + name + "`"
	}
	return out + "; what happened: `" + program() + " history " + name + "`"
}

// firstLines keeps a long message from flooding the terminal.
func firstLines(message string) string {
	const most = 5
	lines := strings.Split(strings.TrimSpace(message), "\n")
	if len(lines) > most {
		lines = append(lines[:most], "…")
	}
	return strings.Join(lines, indent)
}

// recipes tell how to break the demo. They are for the shell, in the demo's folder.
func (s *summary) recipes() {
	secret := filepath.Join(s.deliver.path, "apps", "nextcloud", "administrator.yaml")
	s.line("Break something (a release is good once it was healthy for %s, and what fails goes back to the last good one):", demoBake)
	s.line("  cd %s", s.deliver.repository.Dir())
	s.line("  # an image that never comes up: rolled back, and held")
	s.line("  sed -i.bak 's/newTag: .*/newTag: does-not-exist/' bases/apps/homepage/kustomization.yaml && git commit -am 'Break the image'")
	s.line("  # a port that cannot be: rejected before anything is written")
	s.line("  sed -i.bak 's/port: 80$/port: 99999/' bases/apps/whoami/service.yaml && git commit -am 'Break the port'")
	s.line("  # a manifest that is none: rejected")
	s.line("  echo 'kind: [' >> bases/apps/whoami/settings.yaml && git commit -am 'Break the manifest'")
	s.line("  # and the way out, after each of them")
	s.line("  git revert --no-edit HEAD")
	s.line("Its secrets are encrypted, and you have the keys:")
	s.line("  %s secrets edit %s", program(), secret)
}
