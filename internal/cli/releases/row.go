package releases

import (
	"fmt"
	"strings"
	"time"

	"holdfast.dev/holdfast/internal/cli/table"
	"holdfast.dev/holdfast/internal/model/release"
)

// Row writes one release for `holdfast history`. The one that the cluster is on has a star.
func Row(one release.Release, stands bool, now time.Time) table.Row {
	number := fmt.Sprint(one.Number)
	if stands {
		number += " *"
	}
	verdict := table.Cell{Text: string(one.Verdict)}
	switch one.Verdict {
	case release.Good:
		verdict.Tone = table.Good
	case release.Pending, release.RollingBack:
		verdict.Tone = table.Faint
	default:
		verdict.Tone = table.Bad
	}
	if one.Undone() {
		verdict.Text += fmt.Sprintf(" to %d", one.Target)
		if one.Frozen {
			verdict.Text += ", frozen"
		}
	}
	changes := fmt.Sprintf("+%d ~%d -%d", one.Counts.Created, one.Counts.Configured, one.Counts.Deleted)
	if !one.Written() {
		changes = "none"
	}
	why := one.Cause
	if one.Note != "" {
		why = strings.TrimPrefix(why+"; "+one.Note, "; ")
	}
	if one.Request != nil && one.Request.Reason != "" && why == "" {
		why = one.Request.Reason
	}
	return table.Row{
		{Text: number}, verdict, {Text: table.Age(one.Begun, now)}, {Text: table.ShortDigests(one.Label.Revision)},
		{Text: changes}, {Text: one.Label.Author}, {Text: one.Label.Title}, {Text: why},
	}
}
