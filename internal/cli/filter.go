package cli

import (
	"fmt"
	"strconv"
	"strings"

	"holdfast.dev/holdfast/internal/cli/fleet"
)

// statusFilter keeps resources whose conditions have the wanted status. All of its terms must hold.
type statusFilter []statusTerm

type statusTerm struct{ name, want string }

// suspendedTerm is the one term that is about the spec.
const suspendedTerm = "suspended"

// parseStatusFilter reads "ready=false,suspended=true": condition types with the status wanted,
// both without regard to case.
func parseStatusFilter(text string) (statusFilter, error) {
	var filter statusFilter
	for term := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(term) == "" {
			continue
		}
		name, want, found := strings.Cut(term, "=")
		name, want = strings.TrimSpace(name), strings.ToLower(strings.TrimSpace(want))
		switch {
		case !found || name == "", want != "true" && want != "false" && want != "unknown":
			return nil, hinted(fmt.Errorf("%q is no status selector", term),
				"give a condition and true, false or unknown, for example ready=false")
		case strings.EqualFold(name, suspendedTerm):
			name = suspendedTerm
		}
		filter = append(filter, statusTerm{name, want})
	}
	return filter, nil
}

func (f statusFilter) keeps(resource fleet.Resource) bool {
	for _, term := range f {
		is := strings.ToLower(string(resource.Condition(term.name).Status))
		if term.name == suspendedTerm {
			is = strconv.FormatBool(resource.Spec.Suspend)
		}
		if is != term.want {
			return false
		}
	}
	return true
}
