package finding

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"holdfast.dev/holdfast/internal/model/object"
)

// Severity says what follows from a finding.
type Severity string

// The severities. Only an error keeps a set from being written.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Info    Severity = "info"
)

// Finding is one thing that a judge has to say.
type Finding struct {
	// Rule names the rule, as "class/name": schema/unknown-field. It never changes its meaning.
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	// Ref is the object; it is zero where a file or a whole unit is meant.
	Ref object.Ref `json:"object,omitzero"`
	// Unit is "namespace/name" of the unit that delivers the object, where several are judged at once.
	Unit string `json:"unit,omitempty"`
	// Path leads to the field, as spec.template.spec.containers[0].image.
	Path string `json:"path,omitempty"`
	// File is where the object came from, and Line where in it; 0 is not known.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Message says what is wrong, and Advice what to do about it. No values of objects.
	Message string `json:"message"`
	Advice  string `json:"advice,omitempty"`
}

// Place writes where the finding is, as compilers do: "apps/web.yaml:12", or "" where it is not known.
func (f Finding) Place() string {
	if f.File == "" || f.Line == 0 {
		return f.File
	}
	return fmt.Sprintf("%s:%d", f.File, f.Line)
}

// String writes the finding on one line:
//
//	Deployment/web/shop spec.replicas: wants an integer, not a string (apps/web.yaml:12) [schema/type]; take the quotes off
func (f Finding) String() string {
	var text strings.Builder
	if f.Severity != Error && f.Severity != "" {
		text.WriteString(string(f.Severity) + ": ")
	}
	if f.Ref != (object.Ref{}) {
		text.WriteString(f.Ref.String() + " ")
	} else if f.Unit != "" {
		text.WriteString(f.Unit + " ")
	}
	if f.Path != "" {
		text.WriteString(f.Path + ": ")
	}
	text.WriteString(f.Message)
	if place := f.Place(); place != "" {
		text.WriteString(" (" + place + ")")
	}
	text.WriteString(" [" + f.Rule + "]")
	if f.Advice != "" {
		text.WriteString("; " + f.Advice)
	}
	return oneLine.Replace(text.String())
}

var oneLine = strings.NewReplacer("\r", "", "\n", " ", "\t", " ")

// Compare orders findings: errors first, then by place, object, field and rule.
func Compare(a, b Finding) int {
	return cmp.Or(
		cmp.Compare(rank(a.Severity), rank(b.Severity)), cmp.Compare(a.Unit, b.Unit), a.Ref.Compare(b.Ref),
		cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Path, b.Path),
		cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message))
}

func rank(severity Severity) int {
	return slices.Index([]Severity{Error, Warning, Info}, severity)
}

// Sort sorts findings, and drops those that say the same.
func Sort(findings []Finding) []Finding {
	slices.SortStableFunc(findings, Compare)
	return slices.Compact(findings)
}

// Of returns the findings of a severity.
func Of(findings []Finding, severity Severity) []Finding {
	var found []Finding
	for _, one := range findings {
		if one.Severity == severity {
			found = append(found, one)
		}
	}
	return found
}

// Split parts what refuses a set from what is only told.
func Split(findings []Finding) (refusing, told []Finding) {
	for _, one := range findings {
		if one.Severity == Error {
			refusing = append(refusing, one)
			continue
		}
		told = append(told, one)
	}
	return refusing, told
}

// Lines writes findings, one a line, and counts those beyond a number that people read.
func Lines(findings []Finding) string {
	const most = 200
	var lines []string
	for i, one := range findings {
		if i == most {
			lines = append(lines, fmt.Sprintf("… and %d more findings", len(findings)-most))
			break
		}
		lines = append(lines, one.String())
	}
	return strings.Join(lines, "\n")
}

// Refused is the error that a set must not be written.
type Refused struct {
	// Findings has at least one of severity Error, and is sorted.
	Findings []Finding
}

// Error implements error: each finding is a line.
func (r *Refused) Error() string { return Lines(r.Findings) }
