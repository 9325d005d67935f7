package fleet

import (
	"fmt"
	"strconv"
	"strings"
)

// StatusFilter keeps resources whose conditions have the wanted status. All of its terms must hold.
type StatusFilter []statusTerm

type statusTerm struct{ name, want string }

// suspendedTerm is the one term that is about the spec.
const suspendedTerm = "suspended"

// ParseStatusFilter reads "ready=false,suspended=true": condition types with the status wanted,
// both without regard to case.
func ParseStatusFilter(text string) (StatusFilter, error) {
	var filter StatusFilter
	for term := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(term) == "" {
			continue
		}
		name, want, found := strings.Cut(term, "=")
		name, want = strings.TrimSpace(name), strings.ToLower(strings.TrimSpace(want))
		switch {
		case !found || name == "", want != "true" && want != "false" && want != "unknown":
			return nil, fmt.Errorf("%q is no status selector", term)
		case strings.EqualFold(name, suspendedTerm):
			name = suspendedTerm
		}
		filter = append(filter, statusTerm{name, want})
	}
	return filter, nil
}

// Keeps tells whether a resource fulfils the filter.
func (f StatusFilter) Keeps(resource Resource) bool {
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
