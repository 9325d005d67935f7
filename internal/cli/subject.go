package cli

import "holdfast.dev/holdfast/internal/cli/fleet"

const subjectHint = "say units, sources, all, or a kind such as kustomization, then names; for example `units apps`"

// parseSubject reads the arguments that name units or sources.
func parseSubject(args []string) (fleet.Subject, error) {
	parsed, err := fleet.ParseSubject(args)
	return parsed, hinted(err, subjectHint)
}
